package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/server"
)

// nginxMax is how long nginx may take to tell its version.
const nginxMax = 10 * time.Second

// nginxPath looks in the folders of administrators too.
func nginxPath() (string, error) {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/nginx")
}

// nginxLacks says why nginx cannot be measured; "" if it can.
func nginxLacks(ctx context.Context) string {
	path, err := nginxPath()
	if err != nil {
		return "it is not installed"
	}
	ctx, cancel := context.WithTimeout(ctx, nginxMax)
	defer cancel()
	about, err := exec.CommandContext(ctx, path, "-V").CombinedOutput()
	switch {
	case err != nil:
		return fmt.Sprintf("nginx -V: %v", err)
	case !strings.Contains(string(about), "--with-threads"):
		return "it was built without threads (--with-threads)"
	}
	return ""
}

// nginxConfig is as its documentation has it for static files, with what it caches looked at again after a second, as
// evhttpd does.
const nginxConfig = `daemon off; master_process off; pid nginx.pid; error_log stderr error; %s
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; aio %s; keepalive_requests 1000000000;
  default_type application/octet-stream;
  open_file_cache max=20000; open_file_cache_valid 1s;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen %s; root %s; }
}
`

// nginx has one process of nginx serve root on a free port, its own files in folder; aio is threads, for its thread
// pool, or off.
func nginx(root, folder, aio string) (server.Options, error) {
	path, err := nginxPath()
	if err != nil {
		return server.Options{}, err
	}
	addr, err := freePort()
	if err != nil {
		return server.Options{}, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // whose file system it is: FUSE shows it to nobody else
	}
	file := filepath.Join(folder, "nginx.conf")
	return server.Options{Binary: path, Args: []string{"-p", folder, "-c", file}, Serves: addr},
		os.WriteFile(file, fmt.Appendf(nil, nginxConfig, user, aio, addr, root), 0o644)
}

// freePort is one that was free a moment ago.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return l.Addr().(*net.TCPAddr).AddrPort(), l.Close()
}
