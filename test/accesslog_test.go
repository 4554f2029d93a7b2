package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAccessLog: each answer has a line with what was sent. Nothing of the client's stands in it raw. SIGUSR1
// begins a new file.
func TestAccessLog(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		write(t, root, "large", pattern(300_000, 17))
		log := filepath.Join(t.TempDir(), "access.log")
		s := start(t, v, root, "--access-log", log, "--loops", "1")
		lines := func(want ...string) {
			t.Helper()
			eventually(t, func() error {
				text, err := os.ReadFile(log)
				if err != nil {
					return err
				}
				got := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
				if len(got) != len(want) {
					return fmt.Errorf("%d lines, want %d: %q", len(got), len(want), text)
				}
				for i := range want {
					if !strings.HasPrefix(got[i], "127.0.0.1 - - [") || !strings.Contains(got[i], want[i]) {
						return fmt.Errorf("line %d is %q, want it to have %q", i, got[i], want[i])
					}
				}
				return nil
			})
		}
		s.get(t, "/a", "User-Agent: me \"quoted\" \x80", "Referer: http://x/")
		s.get(t, "/large")
		s.get(t, "/none")
		s.exchange(t, "GET /\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n")
		lines(`"GET /a HTTP/1.1" 200 13 "http://x/" "me `, `"GET /large HTTP/1.1" 200 300000 `,
			`"GET /none HTTP/1.1" 404 `, `" 400 `)
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range []string{"\x1b", "\x80", `me "quoted"`} {
			if strings.Contains(string(text), raw) {
				t.Errorf("%q is in the log as it came: %q", raw, text)
			}
		}
		if err := os.Rename(log, log+".1"); err != nil {
			t.Fatal(err)
		}
		s.signal(t, syscall.SIGUSR1)
		eventually(t, func() error { _, err := os.Stat(log); return err })
		s.get(t, "/a")
		lines(`"GET /a HTTP/1.1" 200 13 "-" "-"`)
	})
}
