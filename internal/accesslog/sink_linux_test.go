package accesslog

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestATerminalIsShownTwoHundredLinesASecond(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, fmt.Sprintf("/dev/pts/%d", number))
	loop := l.Loop()
	numbered(loop, access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200), 0, 500) // one buffer
	loop.Close()
	shown := 0
	lines := bufio.NewScanner(master)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "...") {
		shown++
	}
	if shown != terminalLines || !strings.HasPrefix(lines.Text(), "... 300 lines left out") {
		t.Errorf("%d lines, then %q, %v", shown, lines.Text(), lines.Err())
	}
	if err := l.Close(); err != nil || l.Dropped() != 0 {
		t.Errorf("Close: %v, %d dropped", err, l.Dropped())
	}
}

func TestAWriteErrorIsReportedOnceAMinuteAndCounted(t *testing.T) {
	reports := make(chan error, 100)
	l, err := Open("/dev/full", Options{OnError: func(err error) { reports <- err }})
	if err != nil {
		t.Fatal(err)
	}
	loop := l.Loop()
	a := access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200)
	const sent = 20
	for i := range sent {
		awaitRoom(t, loop, 1)
		numbered(loop, a, i, i+1)
		loop.Tick(int64(2*i+1) * ageMax)
		loop.Tick(int64(2*i+2) * ageMax)
	}
	for deadline := time.Now().Add(patience); l.Dropped() != sent; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d lines counted", l.Dropped(), sent)
		}
	}
	loop.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	close(reports)
	first := <-reports
	if !errors.Is(first, unix.ENOSPC) || !strings.Contains(first.Error(), "/dev/full") {
		t.Errorf("reported: %v", first)
	}
	last := <-reports // of the lines lost since, with the close
	if _, more := <-reports; !errors.Is(last, unix.ENOSPC) || more {
		t.Errorf("want the first error and the last count, nothing between, both of a full disk: %v", last)
	}
}

// A slow reader's report does not hide that the disk is full, and neither comes twice in a minute.
func TestEachCauseOfLossIsReported(t *testing.T) {
	var told []string
	w := &writer{log: &Log{path: "x", options: Options{OnError: func(err error) { told = append(told, err.Error()) }}}}
	for _, err := range []error{nil, nil, unix.ENOSPC, unix.ENOSPC, nil, unix.EIO, unix.ENOSPC} {
		w.log.dropped.Add(1)
		w.report(err, false)
	}
	want := []string{
		"more slowly than they come (1 lines",
		"no space left on device (2 lines",
		"input/output error (3 lines",
	}
	if len(told) != len(want) {
		t.Fatalf("told %q", told)
	}
	for i := range want {
		if !strings.Contains(told[i], want[i]) {
			t.Errorf("report %d: %q, want %q", i, told[i], want[i])
		}
	}
}
