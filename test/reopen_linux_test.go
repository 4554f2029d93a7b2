package test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestReopenHoldsUpNoSignal: while logs are opened anew on a file system that does not answer, the server follows
// every other signal.
func TestReopenHoldsUpNoSignal(t *testing.T) {
	for _, which := range []string{"access log", "events"} {
		t.Run(which, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, "a", []byte(hello))
			dir := mountStalling(t, root)
			folder := t.TempDir()
			log, link := filepath.Join(folder, "real"), filepath.Join(folder, "log")
			must(t, os.Symlink(log, link))
			key := "access_log"
			if which == "events" {
				key = "log"
			}
			write(t, folder, "evhttpd.yaml", fmt.Appendf(nil, "listen: [\"127.0.0.1:0\"]\n%s: {output: %s}\nsites: "+
				"[{root: %s}]\n", key, link, root))
			s := launch(t, testkit.Command(binary, "serve", "--config", filepath.Join(folder, "evhttpd.yaml")))
			t.Cleanup(func() { s.stop(t) })
			must(t, os.Symlink(filepath.Join(root, "slow", "file"), link+".new"))
			must(t, os.Rename(link+".new", link))
			dir.gate.Lock()
			release := sync.OnceFunc(dir.gate.Unlock)
			defer release()
			s.signal(t, syscall.SIGUSR1)
			<-dir.waiting // the log is being opened
			s.signal(t, syscall.SIGUSR1)
			s.signal(t, syscall.SIGTERM)
			eventually(t, says(s.stderr.String, "evhttpd: stopping: "))
			s.waitRefusal(t)
			release() // else the kernel keeps the process
			if code := s.wait(t); code != 0 {
				t.Errorf("exit code %d\n%s", code, s.stderr.String())
			}
		})
	}
}
