package faults_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/test/faults"
)

// TestFaultsHappen: a call fails, is made by halves or late as it is told, and another program behaves as it does when
// the kernel is the one to fail.
func TestFaultsHappen(t *testing.T) {
	able(t)
	head := testkit.Program(t, "head")
	name := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	testkit.Must(t, os.WriteFile(name, content, 0o600))
	ofFile := func(p *faults.Process, c *faults.Call) bool { return p.Kind(int(c.Args[0])) == faults.Regular }
	ofSocket := func(p *faults.Process, c *faults.Call) bool { return p.Kind(int(c.Args[0])) == faults.Connection }
	read := func(way faults.Way, errno unix.Errno) *faults.Fault {
		return &faults.Fault{Number: unix.SYS_READ, Way: way, Errno: errno, Delay: delay, Match: ofFile}
	}
	once, later, elsewhere := read(faults.Delay, 0), read(faults.Fail, unix.ESTALE), read(faults.Fail, unix.EIO)
	once.Times, later.Skip, elsewhere.Match = 1, 2, ofSocket
	for _, c := range []struct {
		name  string
		fault *faults.Fault
		hits  bool
		whole bool // the program's output
		said  string
	}{
		{"fails", read(faults.Fail, unix.EIO), true, false, "Input/output error"},
		{"fails later", later, true, false, "Stale"},
		{"is made by halves", read(faults.Short, 0), true, true, ""},
		{"is late once", once, true, true, ""},
		{"is of another kind", elsewhere, false, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := testkit.Command(head, "-c", "100000", name)
			var out, said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &said
			began := time.Now()
			super, err := faults.Start(cmd, faults.Unasked(), c.fault)
			testkit.Must(t, err)
			err = cmd.Wait()
			<-super.Ended()
			if hits := c.fault.Hits(); (hits > 0) != c.hits || c.fault.Times > 0 && hits != c.fault.Times {
				t.Errorf("%d calls of %d", hits, c.fault.Met())
			}
			whole := err == nil && bytes.Equal(out.Bytes(), content)
			if c.whole != whole || !strings.Contains(said.String(), c.said) {
				t.Errorf("%v, %d bytes of %d, said %q", err, out.Len(), len(content), said.String())
			}
			if c.fault.Way == faults.Delay && time.Since(began) < delay {
				t.Error("it is not held up")
			}
		})
	}
}
