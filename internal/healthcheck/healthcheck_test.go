package healthcheck

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/testkit"
)

const patience = testkit.Patience

// TestAskOfTheControlPlane: where there is one, /readyz is asked there and
// nothing else, over TCP or a Unix socket, and anything but 2xx is not ready.
func TestAskOfTheControlPlane(t *testing.T) {
	ready := http.StatusOK
	plane := http.NewServeMux()
	plane.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(ready) })
	tcp := httptest.NewServer(plane)
	defer tcp.Close()
	folder, err := os.MkdirTemp("", "") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	socket := filepath.Join(folder, "admin.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	unix := &httptest.Server{Listener: listener, Config: &http.Server{Handler: plane}}
	unix.Start()
	defer unix.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(tcp.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	// A server on every address may have those of IPv4 alone, as this one has.
	for _, address := range []string{"127.0.0.1:" + port, ":" + port, "[::]:" + port, "0.0.0.0:" + port, "unix:" +
		socket} {
		cfg := config.Default()
		a, err := config.ParseAddress(address)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Admin.Listen = []config.Address{a}
		ready = http.StatusOK
		if said, err := Ask(&cfg, "", patience); err != nil || said != "GET /readyz at "+address+": 200 OK" {
			t.Errorf("%s: %q, %v", address, said, err)
		}
		ready = http.StatusServiceUnavailable
		if said, err := Ask(&cfg, "", patience); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s is draining: %q, %v", address, said, err)
		}
	}
}

// TestAskOfNothing: where the configuration does not say where to ask, that is its error.
func TestAskOfNothing(t *testing.T) {
	for _, a := range []config.Address{{Host: "127.0.0.1"}, {Systemd: "web"}} {
		cfg := config.Default()
		cfg.Listen = []config.Address{a}
		_, err := Ask(&cfg, "", patience)
		if wrong := (*config.UnusableError)(nil); !errors.As(err, &wrong) ||
			!strings.Contains(err.Error(), "give the URL") {
			t.Errorf("%s: %v", a, err)
		}
	}
}
