// Package testkit is what the tests of many packages need: waiting without a fixed time, skipping with
// a reason that is counted, and programs that end with the test. Only _test.go files may import it, which
// layout_test.go checks. It imports the standard library and golang.org/x/sys.
package testkit

import (
	"errors"
	"hash/fnv"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen. It is no measure of speed: no test passes
// because of it, and machines that run the tests are slow and shared.
const Patience = 30 * time.Second

// pause is the time between two looks at what is waited for.
const pause = time.Millisecond

// Must ends the test unless err is nil.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Eventually repeats check until it returns nil. The last error ends the test when patience is over.
func Eventually(t testing.TB, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(pause) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// Until repeats ok until it holds. The test ends with that text when patience is over.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// Transcript collects what is written, by a process say, and may be read at any time.
type Transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (s *Transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// String is what has been written so far.
func (s *Transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// All reports whether the long form of the tests is wanted: EVHTTPD_TEST=all, as .ci/run says. The
// short form of a test proves the same rule with fewer cases.
func All() bool { return os.Getenv("EVHTTPD_TEST") == "all" }

// Chosen is what a test in its short form runs on, of a list of ways to run it: the first, and another that
// the test's name chooses, so that the tests as a whole meet every one. In its long form it runs on all.
func Chosen[T any](t testing.TB, all []T) []T {
	if All() || len(all) <= 2 {
		return all
	}
	sum := fnv.New32a()
	sum.Write([]byte(t.Name()))
	return []T{all[0], all[1+int(sum.Sum32()%uint32(len(all)-1))]}
}

// Overwrite writes into a file that is there, from an offset on: it is changed in place.
func Overwrite(name string, offset int64, p []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, offset)
	return errors.Join(err, f.Close())
}
