package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/evhttpd/evhttpd/bench/machine"
)

// nginxMax is how long nginx may take to begin, and to end.
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

// nginxServer is an nginx of one process.
type nginxServer struct {
	cmd    *exec.Cmd
	addr   netip.AddrPort
	folder string
	stderr strings.Builder
	ended  chan error
}

// nginxConfig is as its documentation has it for static files, with what it caches looked at again after a second, as evhttpd does.
const nginxConfig = `daemon off; master_process off; pid nginx.pid; error_log stderr error; %s
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; aio %s; keepalive_requests 1000000000; default_type application/octet-stream;
  open_file_cache max=20000; open_file_cache_valid 1s;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen %s; root %s; }
}
`

// startNginx has nginx serve root on a free port, with its thread pool or without.
func startNginx(ctx context.Context, root string, threads bool, cpus []int) (n *nginxServer, err error) {
	path, err := nginxPath()
	if err != nil {
		return nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	n = &nginxServer{addr: addr, ended: make(chan error, 1)}
	if n.folder, err = os.MkdirTemp("", "evhttpd-nginx-"); err != nil {
		return nil, err
	}
	aio, user := "off", ""
	if threads {
		aio = "threads"
	}
	if os.Geteuid() == 0 {
		user = "user root;" // whose file system it is: FUSE shows it to nobody else
	}
	file := filepath.Join(n.folder, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, user, aio, addr, root), 0o644); err != nil {
		return nil, errors.Join(err, os.RemoveAll(n.folder))
	}
	n.cmd = exec.Command(path, "-p", n.folder, "-c", file)
	n.cmd.Stderr = &n.stderr
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.start(cpus); err != nil {
		return nil, errors.Join(err, os.RemoveAll(n.folder))
	}
	if err := n.await(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("nginx does not serve: %w", err), n.Stop())
	}
	return n, nil
}

// start runs it on those CPUs, if any.
func (n *nginxServer) start(cpus []int) error {
	started := make(chan error)
	go func() {
		if len(cpus) > 0 { // the child inherits it; a pinned thread is not given back: it ends with the goroutine
			runtime.LockOSThread()
			if err := machine.PinThread(cpus); err != nil {
				started <- err
				return
			}
		}
		err := n.cmd.Start()
		started <- err
		if err == nil {
			n.ended <- n.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting nginx: %w", err)
	}
	return nil
}

// freePort is one that was free a moment ago.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return l.Addr().(*net.TCPAddr).AddrPort(), l.Close()
}

// await returns when it accepts connections.
func (n *nginxServer) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nginxMax)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp4", n.addr.String())
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case end := <-n.ended:
			n.ended <- end
			return fmt.Errorf("it ended: %w: %s", orEnd(end), strings.TrimSpace(n.stderr.String()))
		case <-again.C:
		}
	}
}

func orEnd(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// Addr is where it listens.
func (n *nginxServer) Addr() netip.AddrPort { return n.addr }

// Stop ends it at once, which is no loss: its clients have gone.
func (n *nginxServer) Stop() error {
	late := time.AfterFunc(nginxMax, func() { _ = n.cmd.Process.Kill() })
	defer late.Stop()
	// It may have ended by itself.
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	end := <-n.ended
	if end != nil {
		end = fmt.Errorf("nginx: %w: %s", end, strings.TrimSpace(n.stderr.String()))
	}
	return errors.Join(end, os.RemoveAll(n.folder))
}
