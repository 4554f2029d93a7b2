package attacks

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

var (
	must       = testkit.Must
	eventually = testkit.Eventually
)

const (
	// The well-behaved client, who asks the control plane, and the networks of the attackers: each kind has a /24 of
	// its own beneath attackersFrom; those whom the server trusts to name others have these.
	probeAddr    = "127.0.0.2"
	operatorAddr = "127.0.0.3"
	attackersNet = "127.1.%d.%d"
	proxiesNet   = "127.2.%d.%d" // must begin with a PROXY header
	trustedNet   = "127.3.%d.%d" // name clients in X-Forwarded-For

	// rate is what the server allows one address. The well-behaved client stays below it.
	rate = 400

	buffersMax = 64 << 20 // limits.buffers
	cacheMax   = 64 << 20 // cache.memory
	memoryMore = 64 << 20 // what the rest may take
	groupMax   = 256 << 20

	smallSize  = 1000
	mediumSize = 16 << 10
	largeSize  = 256 << 10 // above cache.file: sent by sendfile
	hugeSize   = 64 << 20
	textSize   = 200 << 10
	texts      = 100      // files that are compressed on the fly
	cachedSize = 60 << 10 // below cache.file: kept in memory
	cached     = 1300     // files of that, more than the cache takes
	listed     = 2000
	linksMax   = 60 // symbolic links that follow each other; the kernel gives up at 40
)

// serversAtOnce is how many servers are attacked at a time: most of it is waiting.
const serversAtOnce = 4

// program is the built server.
var program string

func TestMain(m *testing.M) {
	if os.Getenv(probeEnv) != "" {
		os.Exit(probeMain())
	}
	testkit.AtOnce(serversAtOnce)
	testkit.Main(os.Stderr, "attacks", func(folder string) (int, error) {
		program = filepath.Join(folder, "evhttpd")
		var flags []string
		if testkit.Race {
			flags = []string{"-race"}
		}
		if err := testkit.Build(program, nil, flags...); err != nil {
			return 1, err
		}
		return m.Run(), nil
	})
}

// files is the root that all servers serve, made once.
var files = sync.OnceValues(func() (root string, err error) {
	root = filepath.Join(filepath.Dir(program), "root")
	put := func(name string, content []byte) {
		file := filepath.Join(root, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, content, 0o644))
	}
	put("small", pattern(smallSize))
	put("medium", pattern(mediumSize))
	put("large", pattern(largeSize))
	put("huge", nil)
	put("private/secret", []byte("secret"))
	put("deep/a/b/c/d/e/f/g/h/small", pattern(smallSize))
	err = errors.Join(err, os.Truncate(filepath.Join(root, "huge"), hugeSize))
	put("text/0", bytes.Repeat([]byte("What is said often is soon said again, and compresses well. "), textSize/60))
	put("cached/0", pattern(cachedSize))
	// One file by many names takes the disk once and the cache many times.
	many := func(folder string, n int) {
		for i := 1; i < n; i++ {
			name := filepath.Join(root, folder, strconv.Itoa(i))
			err = errors.Join(err, os.Link(filepath.Join(root, folder, "0"), name))
		}
	}
	many("text", texts)
	many("cached", cached)
	for i := range listed {
		put(fmt.Sprintf("big/a-name-of-some-length-%05d.txt", i), nil)
	}
	err = errors.Join(err, os.Symlink(".", filepath.Join(root, "self")))
	err = errors.Join(err, os.Symlink("small", filepath.Join(root, "link0")))
	for i := range linksMax {
		err = errors.Join(err, os.Symlink(fmt.Sprintf("link%d", i), filepath.Join(root, fmt.Sprintf("link%d", i+1))))
	}
	return root, err
})

// pattern is size bytes that differ at every offset that a mix-up could hit.
func pattern(size int) []byte {
	p := make([]byte, size)
	state := uint32(size)
	for i := range p {
		state = state*1664525 + 1013904223
		p[i] = byte(state >> 24)
	}
	return p
}

const configYAML = `
listen: ["127.0.0.1:0"]
defer_accept: %[1]t
io_model: %[2]s
threads: %[5]d
proxy_protocol: [127.2.0.0/16]
trusted_proxies: [127.3.0.0/16]
access_log: {output: /dev/null, format: json}
admin: {listen: ["127.0.0.1:0"]}
limits:
  buffers: 64MiB
  requests_per_client: "%[3]d/s burst %[3]d"
%[6]s
sites:
  - root: %[4]s
    listing: true
    compress: [zstd, gzip]
    paths:
      - match: /text/*
        headers: {Content-Type: text/plain}
      - match: /private/**
        auth: {realm: Staff, htpasswd: htpasswd}
`

// setup is how a server is started.
type setup struct {
	model       string
	deferAccept bool
	descriptors int    // RLIMIT_NOFILE
	group       string // the memory cgroup's folder; "": none
	more        string // lines of configuration, in the middle of limits
}

// server is a running evhttpd.
type server struct {
	setup
	addr   string // of the site
	admin  string
	cmd    *exec.Cmd
	stderr testkit.Transcript
	exited chan struct{}
	http   http.Client // asks the control plane
}

var (
	siteLine  = regexp.MustCompile(`serving .+ at http://([0-9.:]+)/`)
	adminLine = regexp.MustCompile(`control plane at http://([0-9.:]+)/`)
)

// start runs the server until the test ends, and then checks that it stops in order.
func start(t *testing.T, o setup) *server {
	t.Helper()
	root, err := files()
	must(t, err)
	folder := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), 10)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "htpasswd"), []byte("alice:"+string(hash)+"\n"), 0o600))
	config := filepath.Join(folder, "evhttpd.yaml")
	text := fmt.Appendf(nil, configYAML, o.deferAccept, o.model, rate, root, o.descriptors, o.more)
	must(t, os.WriteFile(config, text, 0o600))
	// The shell sets what Go's exec cannot: the limit of descriptors and the group.
	script := fmt.Sprintf("ulimit -n %d && ", o.descriptors)
	if o.group != "" {
		script += "echo $$ > " + filepath.Join(o.group, "cgroup.procs") + " && "
	}
	s := &server{setup: o, exited: make(chan struct{})}
	s.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: dialerFrom(operatorAddr).DialContext}
	s.http.Timeout = testkit.Patience
	s.cmd = testkit.Command("sh", "-c", script+"exec \"$@\"", "sh", program, "serve", "--config", config)
	pipe, err := s.cmd.StderrPipe()
	must(t, err)
	must(t, s.cmd.Start())
	go func() {
		_, _ = io.Copy(&s.stderr, pipe)
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.stop(t) })
	eventually(t, func() error {
		site, admin := siteLine.FindStringSubmatch(s.stderr.String()), adminLine.FindStringSubmatch(s.stderr.String())
		if site == nil || admin == nil {
			return fmt.Errorf("no start-up lines: %s", s.stderr.String())
		}
		s.addr, s.admin = site[1], admin[1]
		return nil
	})
	return s
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.exited
	if code := s.cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(s.stderr.String(), "DATA RACE") {
		t.Errorf("the server ended with exit code %d:\n%s", code, s.stderr.String())
	}
	if t.Failed() {
		t.Logf("%.4000s", s.stderr.String())
	}
}

// ask reads an address of the control plane.
func (s *server) ask(path string) (status int, body []byte, err error) {
	answer, err := s.http.Get("http://" + s.admin + path)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}

// metrics scrapes: values by name and labels as they are written.
func (s *server) metrics() (map[string]float64, error) {
	status, body, err := s.ask("/metrics")
	if err != nil || status != 200 {
		return nil, fmt.Errorf("/metrics: %d, %w", status, err)
	}
	values := make(map[string]float64)
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(name, "evhttpd_info{") || strings.HasPrefix(name, "#") || !ok {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue // a label with a space in it
		}
		values[name] = n
	}
	return values, nil
}

// openDescriptors counts the server's open descriptors but for those of cached files.
func (s *server) openDescriptors() (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	values, err := s.metrics()
	return len(entries) - int(values["evhttpd_cache_descriptors"]), err
}

// status is a line of /proc/PID/status that has a number of KiB, in bytes.
func (s *server) status(name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s", name)
}

func dialerFrom(addr string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: testkit.Patience, Control: reuseAddr}
}

// reuseAddr lets the kernel choose the port when it connects, so that a port is shared by connections to elsewhere
// (IP_BIND_ADDRESS_NO_PORT of ip(7), Linux 4.2).
func reuseAddr(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, bindAddressNoPort, 1)
	})
	return errors.Join(err, failed)
}

const bindAddressNoPort = 24
