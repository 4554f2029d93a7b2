package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestListen: every form of --listen is served, several at once.
func TestListen(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		// A Unix socket's path is at most 103 bytes on the BSDs and macOS, so not beneath t.TempDir.
		folder, err := os.MkdirTemp("", "ev")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(folder)
		socket := filepath.Join(folder, "s")
		s := start(t, v, root, "--listen", "unix:"+socket) // a second --listen adds to the first
		if got := s.get(t, "/a"); string(got.body) != hello {
			t.Errorf("over TCP: %d %q", got.status, got.body)
		}
		if got := string(run(t, "curl", "-sS", "--max-time", "30", "--unix-socket", socket, "http://localhost/a")); got != hello {
			t.Errorf("over the Unix socket: %q", got)
		}
	})
}

// TestListenAny: a port alone is IPv4 and IPv6, and the start-up lines name what other machines can use.
func TestListenAny(t *testing.T) {
	root := t.TempDir()
	write(t, root, "a", []byte(hello))
	s := launch(t, exec.Command(binary, "serve", root, "--listen", ":0", "--access-log", "off"))
	defer s.stop(t)
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		s.addr = net.JoinHostPort(host, port)
		if probe, err := net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			t.Logf("this machine has no %s: %v", host, err)
			continue
		} else {
			probe.Close()
		}
		if got := s.get(t, "/a"); string(got.body) != hello {
			t.Errorf("%s: %d %q", host, got.status, got.body)
		}
	}
}

// TestAcceptModes: with several loops on one port, each way to accept serves everybody.
func TestAcceptModes(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		for _, accept := range []string{"reuseport", "shared"} {
			t.Run(accept, func(t *testing.T) {
				s := start(t, v, root, "--loops", "2", "--accept", accept)
				for range 100 {
					if got := s.get(t, "/a"); got.status != 200 || string(got.body) != hello {
						t.Fatalf("%d %q", got.status, got.body)
					}
				}
			})
		}
	})
}
