package test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// twoVariants runs the test on the platform's default and on a model of another kind. It is for tests that do not
// depend on how connections are driven.
func twoVariants(t *testing.T, test func(t *testing.T, v variant)) {
	for _, v := range []variant{defaultVariant(), {Model: "goroutine", Trigger: "auto"}} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

func defaultVariant() variant {
	if runtime.GOOS == "linux" {
		return variant{Model: "epoll", Trigger: "edge"}
	}
	return variant{Model: "kqueue", Trigger: "edge"}
}

// once skips a test against the server with the race detector: its programs would only do the same again, more
// slowly.
func once(t *testing.T) {
	t.Helper()
	if raceServer() {
		t.Skip("it runs once, against the plain server")
	}
}

// serveConfig runs the server with this configuration, on a free port of 127.0.0.1, until the test ends.
func serveConfig(t *testing.T, config string) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "evhttpd.yaml")
	must(t, os.WriteFile(file, []byte(config), 0o644))
	s := launch(t, testkit.Command(binary, "serve", "--config", file, "--listen", "127.0.0.1:0"))
	t.Cleanup(func() { s.stop(t) })
	return s
}
