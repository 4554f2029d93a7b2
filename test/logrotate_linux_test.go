package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestLogrotate: with configs/logrotate both services open their files anew, whether one of them
// runs or both do, and no line is lost.
func TestLogrotate(t *testing.T) {
	logrotate, root, folder := tool(t, "logrotate"), t.TempDir(), t.TempDir()
	write(t, root, "a", []byte(hello))
	text, err := os.ReadFile("../configs/logrotate")
	must(t, err)
	services := []string{"evhttpd.service", "evhttpd-socket.service"}
	servers := make(map[string]*server)
	var manager strings.Builder // of which the configuration knows "kill" alone
	manager.WriteString("#!/bin/sh\n")
	for _, name := range services {
		log := filepath.Join(folder, "logs", name+".log")
		must(t, os.MkdirAll(filepath.Dir(log), 0o755))
		s := launch(t, testkit.Command(binary, "serve", root, "--listen", "127.0.0.1:0", "--access-log", log))
		defer s.stop(t)
		servers[name] = s
		fmt.Fprintf(&manager, "case \" $* \" in *' kill '*' --signal=SIGUSR1'*' %s '*) kill -USR1 %d;; esac\n", name,
			s.cmd.Process.Pid)
	}
	must(t, os.WriteFile(filepath.Join(folder, "systemctl"), []byte(manager.String()), 0o755))
	config := strings.Replace(string(text), "/var/log/evhttpd/", filepath.Join(folder, "logs")+"/", 1)
	config = regexp.MustCompile(`\tsu .*\n`).ReplaceAllString(config, "") // the files are this user's
	write(t, folder, "logrotate.conf", []byte(config))
	for name, s := range servers {
		s.get(t, "/a")
		eventually(t, hasLine(filepath.Join(folder, "logs", name+".log"), "GET /a "))
	}
	rotate := testkit.Command(logrotate, "--force", "--state", filepath.Join(folder, "state"),
		filepath.Join(folder, "logrotate.conf"))
	rotate.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
	if said, err := rotate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for name, s := range servers {
		eventually(t, says(s.stderr.String, "access log reopened"))
		s.get(t, "/a?again")
		log := filepath.Join(folder, "logs", name+".log")
		eventually(t, hasLine(log, "GET /a?again "))
		eventually(t, hasLine(log+".1", "GET /a "))
	}
}

// hasLine checks that a file has these words.
func hasLine(file, words string) func() error {
	return func() error {
		text, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(text), words) {
			err = fmt.Errorf("%s has no %q:\n%s", file, words, text)
		}
		return err
	}
}
