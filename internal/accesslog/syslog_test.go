package accesslog

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// receive reads n datagrams.
func receive(t *testing.T, c net.PacketConn, n int) (all []string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 64<<10)
	for range n {
		got, _, err := c.ReadFrom(p)
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(all), n, err)
		}
		all = append(all, string(p[:got]))
	}
	return all
}

func TestSyslogOverUDP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Skip(err) // no IPv6 here
		}
		defer c.Close()
		l := open(t, "syslog:udp://"+c.LocalAddr().String())
		loop := l.Loop()
		numbered(loop, access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200), 0, 3)
		loop.Close()
		form := regexp.MustCompile(fmt.Sprintf(
			`^<190>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) \S+ evhttpd %d access - `+
				`(192\.0\.2\.7 - - .*)$`, os.Getpid()))
		for i, got := range receive(t, c, 3) {
			m := form.FindStringSubmatch(got)
			if m == nil {
				t.Fatalf("not of RFC 5424: %q", got)
			}
			if n := numbers(t, m[2]+"\n"); n[0] != i {
				t.Errorf("line %d came as the %d.", n[0], i)
			}
		}
		if err := l.Close(); err != nil || l.Dropped() != 0 {
			t.Errorf("Close: %v, %d dropped", err, l.Dropped())
		}
	}
}

func TestSyslogOverAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := open(t, "syslog:unix:"+path)
	loop := l.Loop()
	numbered(loop, access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200), 0, 300)
	loop.Close() // more than its queue holds: the writer waits for the reader
	form := regexp.MustCompile(
		fmt.Sprintf(`^<190>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d evhttpd\[%d\]: (192\.0\.2\.7 - - .*)$`, os.Getpid()),
	)
	for i, got := range receive(t, c, 300) {
		m := form.FindStringSubmatch(got)
		if m == nil {
			t.Fatalf("not as syslog(3) sends: %q", got)
		}
		if n := numbers(t, m[1]+"\n"); n[0] != i {
			t.Fatalf("line %d came as the %d.", n[0], i)
		}
	}
	if err := l.Close(); err != nil || l.Dropped() != 0 {
		t.Errorf("Close: %v, %d dropped", err, l.Dropped())
	}
}

// A syslog whose queue is full drops lines, counts them, and holds nobody up.
func TestAFullSyslogDropsLinesAndNeverBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reports := make(chan error, 10)
	var lost atomic.Uint64
	lost.Store(5) // of a log before this one
	l, err := Open("syslog:unix:"+path,
		Options{Location: time.UTC, OnError: func(err error) { reports <- err }, Lost: &lost})
	if err != nil {
		t.Fatal(err)
	}
	loop := l.Loop()
	const sent = 20_000
	numbered(loop, access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200), 0, sent) // returns at all
	if l.Dropped() == 0 {
		t.Fatal("nothing was dropped")
	}
	loop.Close()
	if err := l.Close(); !errors.Is(err, ErrStalled) {
		t.Errorf("Close = %v", err)
	}
	<-l.finished
	if err := <-reports; !errors.Is(err, ErrStalled) {
		t.Errorf("reported: %v", err)
	}
	// What was not dropped waits for the reader.
	received := uint64(0)
	p := make([]byte, 64<<10)
	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		for {
			if _, _, err := unix.Recvfrom(int(fd), p, unix.MSG_DONTWAIT); err != nil {
				return
			}
			received++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if received+l.Dropped() != sent || lost.Load() != 5+l.Dropped() {
		t.Errorf("%d lines arrived and %d were dropped of %d, %d in sum", received, l.Dropped(), sent, lost.Load())
	}
}

// A syslog that goes away and comes back costs the lines between.
func TestASyslogThatComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open("syslog:unix:"+path, Options{Location: time.UTC, OnError: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	loop := l.Loop()
	a := access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200)
	numbered(loop, a, 0, 1)
	loop.Close()
	receive(t, c, 1)
	if err := errors.Join(c.Close(), os.RemoveAll(path)); err != nil {
		t.Fatal(err)
	}
	awaitRoom(t, loop, 1)
	numbered(loop, a, 1, 2)
	loop.Close()
	for deadline := time.Now().Add(patience); l.Dropped() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("a line to nobody is not counted as lost")
		}
	}
	if c, err = net.ListenPacket("unixgram", path); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := 2
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	arrived := make(chan string, 1)
	go func() {
		p := make([]byte, 64<<10)
		n, _, err := c.ReadFrom(p)
		arrived <- fmt.Sprint(string(p[:n]), err)
	}()
	for waiting := true; waiting; {
		select {
		case got := <-arrived:
			if waiting = false; !strings.Contains(got, "192.0.2.7") {
				t.Error(got)
			}
		case <-time.After(10 * time.Millisecond):
			awaitRoom(t, loop, 1)
			numbered(loop, a, sent, sent+1)
			loop.Close()
			sent++
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestSyslogNamesThatAreWrong(t *testing.T) {
	for _, name := range []string{
		"syslog:", "syslog:tcp://a", "syslog:udp://", "syslog:unix:", "syslog:unix:/no/such/socket",
		"syslog:udp://127.0.0.1:99999",
	} {
		if l, err := Open(name, Options{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}
