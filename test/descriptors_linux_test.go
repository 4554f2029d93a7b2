package test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReloadWithFewDescriptors: a model that cannot be opened for want of descriptors leaves the one that
// serves as it is, however far its opening has come; nothing stays open, and with descriptors it is taken.
func TestReloadWithFewDescriptors(t *testing.T) {
	root, files := site(t)
	config := func(v variant) string {
		return yamlOf(root, "io_model: "+v.model, "trigger: "+v.trigger, "loops: 2", "limits: {connections: 100}", "cache: {descriptors: 16}")
	}
	eachVariant(t, func(t *testing.T, v variant) {
		if v == variants()[0] {
			return // it serves
		}
		o := operate(t, config(variants()[0]))
		var limit unix.Rlimit
		must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, nil, &limit))
		before, lowest := len(o.descriptors()), lowestFree(o.pid)
		most := before + 1 // the client's connection
		if v.model == "netpoll" {
			most += 4 // its pollers are the process's and stay, once they are there
		}
		refusals := 0
		for spare := range 12 {
			low := unix.Rlimit{Cur: uint64(lowest + spare), Max: limit.Max}
			must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, &low, nil))
			o.write(config(v))
			from := len(o.stderr.String())
			// A loop that hands over is not told that its listeners' queues are empty while there is no descriptor.
			said := o.told(syscall.SIGHUP, " reloaded ", "not reloaded", "out of descriptors")
			must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, &limit, nil))
			if !strings.Contains(said, "not reloaded") {
				eventually(t, func() error {
					if !strings.Contains(event.Replace(o.stderr.String()[from:]), " reloaded ") {
						return fmt.Errorf("%v was not taken:\n%s", v, tail(o.stderr.String()))
					}
					return nil
				})
				break
			}
			refusals++
			if got := o.get(t, "/small"); !slices.Equal(got.body, files["/small"]) {
				t.Fatalf("%v, with %d descriptors to spare: status %d", v, spare, got.status)
			}
			eventually(t, func() error {
				if after := len(o.descriptors()); after > most {
					return fmt.Errorf("%v: %d descriptors are open, %d were before: %q", v, after, before, o.descriptors())
				}
				return nil
			})
		}
		if refusals == 0 {
			t.Errorf("%v was opened without a descriptor", v)
		}
		o.reload(config(v))
		o.get(t, "/small")
	})
}

// lowestFree is the number that the process's next descriptor has.
func lowestFree(pid int) int {
	for fd := 0; ; fd++ {
		if _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil {
			return fd
		}
	}
}
