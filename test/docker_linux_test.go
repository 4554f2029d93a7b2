package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// docker is a Docker engine of the test's own: it neither has nor makes a bridge
// or a rule of the packet filter, so that it changes nothing for the machine.
type docker struct {
	t      *testing.T
	client string
	socket string
	log    *transcript
	engine *exec.Cmd
	gone   chan struct{}
}

// startDocker runs an engine until the test ends.
func startDocker(t *testing.T) *docker {
	t.Helper()
	d := &docker{t: t, client: tool(t, "docker")}
	dockerd := tool(t, "dockerd")
	for _, driver := range []string{"overlay2", "vfs"} { // the second where files lie on an overlay already
		if d.start(dockerd, driver) {
			return d
		}
	}
	t.Fatalf("no engine starts:\n%s", d.log.String())
	return nil
}

// start reports whether an engine with that storage runs.
func (d *docker) start(dockerd, driver string) bool {
	d.t.Helper()
	folder, err := os.MkdirTemp("", "docker-") // short, for the sockets
	must(d.t, err)
	d.t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			d.t.Errorf("the engine leaves something behind: %v", err)
		}
	})
	d.socket, d.log, d.gone = "unix://"+folder+"/sock", new(transcript), make(chan struct{})
	d.engine = testkit.Command(dockerd, "--data-root", folder+"/data", "--exec-root", folder+"/exec", "--pidfile",
		folder+"/pid",
		"--host", d.socket, "--storage-driver", driver, "--exec-opt", "native.cgroupdriver=cgroupfs",
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	d.engine.Stdout, d.engine.Stderr = d.log, d.log
	d.engine.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // it ends its containerd then
	must(d.t, d.engine.Start())
	gone := d.gone
	go func(engine *exec.Cmd) {
		_ = engine.Wait() // how it ended, its log tells
		close(gone)
	}(d.engine)
	for end := deadline(); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-gone:
			return false
		default:
		}
		if _, err := d.try("version"); err == nil {
			d.t.Cleanup(d.stop)
			return true
		}
	}
	d.stop()
	return false
}

func (d *docker) stop() {
	d.engine.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.gone:
	case <-time.After(2 * patience):
		d.t.Errorf("the engine does not stop:\n%s", d.log.String())
		d.engine.Process.Kill()
		<-d.gone
	}
}

// try runs a command of the client and returns what it says.
func (d *docker) try(args ...string) (string, error) {
	cmd := testkit.Command(d.client, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.socket, "DOCKER_BUILDKIT=0", "DOCKER_CONTEXT=")
	cmd.WaitDelay = time.Second
	stuck := time.AfterFunc(4*patience, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// do runs a command of the client, which is to succeed.
func (d *docker) do(args ...string) string {
	d.t.Helper()
	said, err := d.try(args...)
	if err != nil {
		d.t.Fatalf("docker %v: %v\n%s", args, err, said)
	}
	return said
}

// golang imports an image that stands for the official one of Go, made of what is here: a Debian,
// this machine's Go, the modules that go.mod names, as a proxy has them, and what compiling them gives: so
// the image's build is short on any machine. Compiled packages do not depend on folders (-trimpath).
func (d *docker) golang(name string) {
	d.t.Helper()
	root := filepath.Join(d.t.TempDir(), "golang")
	env := goEnv(d.t, "GOROOT", "GOMODCACHE")
	modules := filepath.Join(d.t.TempDir(), "modules")
	fetch := testkit.Command("go", "mod", "download")
	fetch.Dir = ".."
	fetch.Env = append(os.Environ(), "GOMODCACHE="+modules, "GOFLAGS=-modcacherw", "GOSUMDB=off",
		"GOPROXY=file://"+filepath.Join(env[1], "cache", "download")+",https://proxy.golang.org")
	compiled := filepath.Join(keptFolder(d.t), "go-build")
	compile := testkit.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-o", filepath.Join(d.t.TempDir(), "evhttpd"), "./cmd/evhttpd")
	compile.Dir = ".."
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+compiled)
	copies := [][]string{
		{"cp", "-a", "--reflink=auto", debian(d.t), root},
		{"rm", "-rf", root + "/var/cache", root + "/var/lib/apt", root + "/usr/share"},
		{"mkdir", "-p", root + "/usr/local/go/pkg"},
		{"cp", "-a", env[0] + "/bin", env[0] + "/src", env[0] + "/go.env", env[0] + "/VERSION", root + "/usr/local/go"},
		{"cp", "-a", env[0] + "/pkg/tool", env[0] + "/pkg/include", root + "/usr/local/go/pkg"},
		{"cp", "-a", modules + "/cache/download", root + "/goproxy"},
		{"cp", "-a", compiled, root + "/gocache"},
	}
	commands := []*exec.Cmd{fetch, compile}
	for _, args := range copies {
		commands = append(commands, testkit.Command(args[0], args[1:]...))
	}
	for _, cmd := range commands {
		if said, err := cmd.CombinedOutput(); err != nil {
			d.t.Fatalf("%v: %v\n%s", cmd.Args, err, said)
		}
	}
	pack := testkit.Command("tar", "--create", "--directory", root, ".")
	load := testkit.Command(d.client, "--host", d.socket, "import", "--change",
		"ENV PATH=/usr/local/go/bin:/usr/bin:/bin",
		"--change", "ENV GOPROXY=file:///goproxy", "--change", "ENV GOSUMDB=off", "--change", "ENV GOTOOLCHAIN=local",
		"--change", "ENV GOCACHE=/gocache", "-", name)
	var said bytes.Buffer
	var err error
	load.Stdin, err = pack.StdoutPipe()
	must(d.t, err)
	load.Stdout, load.Stderr, pack.Stderr = &said, &said, &said
	must(d.t, pack.Start())
	if err := load.Run(); err != nil {
		d.t.Fatalf("%v: %v\n%s", load.Args, err, said.String())
	}
	must(d.t, pack.Wait())
}

// goEnv is what `go env` says.
func goEnv(t *testing.T, names ...string) []string {
	t.Helper()
	out, err := testkit.Command("go", append([]string{"env"}, names...)...).Output()
	must(t, err)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// service is the part of configs/compose.yaml that is about one container.
type service struct {
	Image           string            `yaml:"image"`
	Build           string            `yaml:"build"`
	Ports           []string          `yaml:"ports"`
	Volumes         []string          `yaml:"volumes"`
	Command         []string          `yaml:"command"`
	User            string            `yaml:"user"`
	ReadOnly        bool              `yaml:"read_only"`
	CapDrop         []string          `yaml:"cap_drop"`
	SecurityOpt     []string          `yaml:"security_opt"`
	MemLimit        string            `yaml:"mem_limit"`
	Environment     map[string]string `yaml:"environment"`
	PidsLimit       int               `yaml:"pids_limit"`
	Ulimits         map[string]ulimit `yaml:"ulimits"`
	StopGracePeriod string            `yaml:"stop_grace_period"`
	Restart         string            `yaml:"restart"`
	Logging         struct {
		Driver  string            `yaml:"driver"`
		Options map[string]string `yaml:"options"`
	} `yaml:"logging"`
}

type ulimit struct{ Soft, Hard uint64 }

// composed reads the compose file. A key that the test does not know fails it: it would not be tested.
func composed(t *testing.T) service {
	t.Helper()
	text, err := os.ReadFile("../configs/compose.yaml")
	must(t, err)
	var file struct {
		Services map[string]service `yaml:"services"`
	}
	must(t, yaml.UnmarshalWithOptions(text, &file, yaml.Strict()))
	s, ok := file.Services["evhttpd"]
	if !ok || len(file.Services) != 1 {
		t.Fatalf("services: %v", file.Services)
	}
	return s
}

// TestDockerLines: what README.md and the compose file have one type in a fresh clone serves something.
func TestDockerLines(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	must(t, err)
	line := regexp.MustCompile(`docker run .* -v "\$PWD:/srv:ro" evhttpd (serve /srv.*)\n`).FindSubmatch(readme)
	if line == nil {
		t.Fatal("README.md has no such line")
	}
	s := composed(t)
	if len(s.Volumes) != 1 || !strings.HasSuffix(s.Volumes[0], ":/srv:ro") {
		t.Fatalf("volumes: %q", s.Volumes)
	}
	for _, c := range []struct {
		folder string // at /srv
		args   []string
	}{{"..", strings.Fields(string(line[1]))},
		{filepath.Join("../configs", strings.TrimSuffix(s.Volumes[0], ":/srv:ro")), s.Command}} {
		args := slices.Clone(c.args)
		for i := range args {
			args[i] = strings.Replace(args[i], "/srv", c.folder, 1)
		}
		s := launch(t, testkit.Command(binary, append(args, "--listen", "127.0.0.1:0", "--access-log", "off")...))
		if got := s.get(t, "/"); got.status != 200 || !strings.Contains(string(got.body), "</a>") {
			t.Errorf("%q: %d %.200q", args, got.status, got.body)
		}
		s.stop(t)
	}
}

// flags are the flags of docker run that compose would give, without the ports, which need a bridge, and the folder
// that is served.
func (s *service) flags(t *testing.T, folder string) []string {
	t.Helper()
	grace, err := time.ParseDuration(s.StopGracePeriod)
	must(t, err)
	flags := []string{
		"--network=none", "--user=" + s.User, "--read-only=" + strconv.FormatBool(s.ReadOnly),
		"--memory=" + s.MemLimit, "--pids-limit=" + strconv.Itoa(s.PidsLimit), "--restart=" + s.Restart,
		"--stop-timeout=" + strconv.Itoa(int(grace.Seconds())), "--log-driver=" + s.Logging.Driver,
	}
	for _, cap := range s.CapDrop {
		flags = append(flags, "--cap-drop="+cap)
	}
	for _, option := range s.SecurityOpt {
		flags = append(flags, "--security-opt="+option)
	}
	for name, value := range s.Environment {
		flags = append(flags, "--env="+name+"="+value)
	}
	most := s.descriptors(t)
	flags = append(flags, fmt.Sprintf("--ulimit=nofile=%d:%d", most, most))
	for name, value := range s.Logging.Options {
		flags = append(flags, "--log-opt="+name+"="+value)
	}
	for _, v := range s.Volumes {
		_, inside, _ := strings.Cut(v, ":")
		flags = append(flags, "--volume="+folder+":"+inside)
	}
	return flags
}

// descriptors is the limit of descriptors that the compose file asks for, or this machine's if that is less:
// without CAP_SYS_RESOURCE not even an engine raises its own.
func (s *service) descriptors(t *testing.T) uint64 {
	t.Helper()
	limit, ok := s.Ulimits["nofile"]
	if !ok || len(s.Ulimits) != 1 || limit.Soft != limit.Hard {
		t.Fatalf("ulimits: %v", s.Ulimits)
	}
	var own unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &own))
	return min(limit.Hard, own.Max)
}

// TestDocker builds the image as the Dockerfile says and runs it as configs/compose.yaml says.
func TestDocker(t *testing.T) {
	onceAsRoot(t)
	debian(t) // the test is skipped where debootstrap is not installed, before an engine runs
	d := startDocker(t)
	const base, image = "evhttpd-test-golang", "evhttpd-test"
	d.golang(base)
	d.do("build", "--network=none", "--build-arg=GO_IMAGE="+base, "--build-arg=VERSION=1.2.3-test", "--tag="+image,
		"..")
	for _, part := range []struct {
		name string
		test func(d *docker, image string)
	}{
		{"image", (*docker).testImage},
		{"models", (*docker).testModels},
		{"container", (*docker).testContainer},
		{"configured", (*docker).testConfigured},
		{"unhealthy", (*docker).testUnhealthy},
	} {
		t.Run(part.name, func(t *testing.T) {
			inner := *d // what fails is this part
			inner.t = t
			part.test(&inner, image)
		})
	}
}

// testImage: the image is small, holds the binary alone, and says what it is.
func (d *docker) testImage(image string) {
	d.t.Helper()
	size, err := strconv.Atoi(d.do("image", "inspect", "--format={{.Size}}", image))
	if err != nil || size >= 20_000_000 {
		d.t.Errorf("the image has %d bytes, %v", size, err)
	}
	d.t.Logf("the image has %.1f MB", float64(size)/1e6)
	if user := d.do("image", "inspect", "--format={{.Config.User}} {{.Config.StopSignal}}",
		image); user != "65532:65532 SIGTERM" {
		d.t.Errorf("user and stop signal: %s", user)
	}
	if volumes := d.do("image", "inspect", "--format={{json .Config.Volumes}}", image); volumes != "null" {
		d.t.Errorf("each container leaves a volume without a name: %s", volumes)
	}
	if said := d.do("run", "--rm", "--network=none", image, "version"); !strings.Contains(said, "1.2.3-test") {
		d.t.Errorf("the version is %q", said)
	}
}

// seccomp is the flag for a filter that refuses io_uring, as Docker's default filter does from version 25 on. From
// there on no flag is needed; before, a filter is made that has that rule alone.
func (d *docker) seccomp() []string {
	d.t.Helper()
	version := d.do("version", "--format={{.Server.Version}}")
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n >= 25 {
		return nil
	}
	d.t.Logf("Docker %s does not refuse io_uring by itself: it is told to", version)
	file := filepath.Join(d.t.TempDir(), "seccomp.json")
	must(d.t, os.WriteFile(file, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ERRNO",
		"errnoRet": 1, "names": ["io_uring_setup", "io_uring_enter", "io_uring_register"]}]}`), 0o600))
	return []string{"--security-opt=seccomp=" + file}
}

// testModels: where Docker's filter of system calls refuses io_uring, the
// server says so instead of failing in use.
func (d *docker) testModels(image string) {
	d.t.Helper()
	var said struct {
		Auto   struct{ Model string }
		Models []struct {
			Name      string
			Available bool
			Reason    string
		}
	}
	run := append([]string{"run", "--rm", "--network=none"}, d.seccomp()...)
	must(d.t, json.Unmarshal([]byte(d.do(append(run, image, "models", "--json")...)), &said))
	if said.Auto.Model != "epoll" {
		d.t.Errorf("auto is %q", said.Auto.Model)
	}
	for _, m := range said.Models {
		switch {
		case m.Name == "io_uring" && (m.Available || !strings.Contains(m.Reason, "seccomp")):
			d.t.Errorf("io_uring is available: %v, because: %s", m.Available, m.Reason)
		case m.Name == "epoll" && !m.Available:
			d.t.Errorf("epoll is refused: %s", m.Reason)
		}
	}
	if said, err := d.try(append(run, image, "check", "/", "--io-model", "io_uring")...); err == nil ||
		!strings.Contains(said, "seccomp") {
		d.t.Errorf("a configuration with io_uring: %v, %s", err, said)
	}
}

// container is a container that runs.
type container struct {
	*docker
	id  string
	pid int // of its PID 1
}

// run starts a container and waits until Docker takes it for healthy.
func (d *docker) run(flags []string, command ...string) *container {
	d.t.Helper()
	args := append([]string{"run", "--detach", "--health-interval=1s"}, flags...)
	c := &container{docker: d, id: d.do(append(args, command...)...)}
	d.t.Cleanup(func() {
		if d.t.Failed() {
			said, _ := d.try("logs", c.id)
			d.t.Logf("the container says:\n%s", said)
		}
		d.do("rm", "--force", "--volumes", c.id)
	})
	c.awaitHealth("healthy")
	var err error
	c.pid, err = strconv.Atoi(d.do("inspect", "--format={{.State.Pid}}", c.id))
	must(d.t, err)
	return c
}

func (c *container) awaitHealth(want string) {
	c.t.Helper()
	eventually(c.t, func() error {
		if health := c.do("inspect", "--format={{.State.Health.Status}}", c.id); health != want {
			return fmt.Errorf("the container is %s, not %s: %s", health, want,
				c.do("inspect", "--format={{json .State}}", c.id))
		}
		return nil
	})
}

// served is a folder that any user can read.
func (d *docker) served() string {
	d.t.Helper()
	folder, err := os.MkdirTemp("", "evhttpd-srv-") // its parents are open to all
	must(d.t, err)
	d.t.Cleanup(func() { os.RemoveAll(folder) })
	must(d.t, os.Chmod(folder, 0o755))
	write(d.t, folder, "hello", []byte(hello))
	write(d.t, folder, "large", pattern(slowBytes, 31))
	return folder
}

// testContainer: read-only, without capabilities, as nobody in particular, it serves,
// is healthy, and `docker stop` lets a download finish.
func (d *docker) testContainer(image string) {
	d.t.Helper()
	s := composed(d.t)
	c := d.run(append(s.flags(d.t, d.served()), image), s.Command...)
	if got, err := getWithin(c.pid, "127.0.0.1:8080", "/hello"); err != nil || got.status != 200 ||
		string(got.body) != hello {
		d.t.Errorf("got %d %q, %v", got.status, got.body, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	must(d.t, err)
	for _, want := range []string{"Uid:\t65532\t65532", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
		"NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want) {
			d.t.Errorf("no %q in its status:\n%s", want, status)
		}
	}
	if said := d.do("logs", c.id); strings.Contains(said, "running as root") {
		d.t.Errorf("it takes itself for root: %s", said)
	}
	most := fmt.Sprint(s.descriptors(d.t))
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.pid))
	must(d.t, err)
	if !slices.ContainsFunc(strings.Split(string(limits), "\n"), func(line string) bool {
		fields := strings.Fields(line)
		return strings.HasPrefix(line, "Max open files") && fields[3] == most && fields[4] == most
	}) {
		d.t.Errorf("the limit of descriptors is another:\n%s", limits)
	}
	c.testStop()
}

// testStop: a download in flight finishes, and the container ends with 0 although its command is PID 1.
func (c *container) testStop() {
	c.t.Helper()
	conn, err := dialWithin(c.pid, "127.0.0.1:8080")
	must(c.t, err)
	defer conn.Close()
	must(c.t, conn.SetDeadline(deadline()))
	_, err = io.WriteString(conn, "GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	must(c.t, err)
	w := newWire(conn)
	_, err = w.in.Peek(1)
	must(c.t, err)
	stopped := make(chan error, 1)
	go func() {
		_, err := c.try("stop", c.id)
		stopped <- err
	}()
	eventually(c.t, func() error {
		if said := c.do("logs", c.id); !strings.Contains(said, "stopping: 1 connection") {
			return fmt.Errorf("it does not stop:\n%s", said)
		}
		return nil
	})
	got, err := w.next("GET")
	if err != nil || !bytes.Equal(got.body, pattern(slowBytes, 31)) {
		c.t.Errorf("the download has %d bytes, %v", len(got.body), err)
	}
	must(c.t, <-stopped)
	if code := c.do("inspect", "--format={{.State.ExitCode}} {{.State.OOMKilled}}", c.id); code != "0 false" {
		c.t.Errorf("it ended with %s", code)
	}
}

// testConfigured: a configuration file by the variable, which the health check reads too.
func (d *docker) testConfigured(image string) {
	d.t.Helper()
	folder := d.served()
	write(d.t, folder, ".evhttpd.yaml", []byte("listen: [\":9090\"]\nsites: [{root: /srv}]\n"))
	s := composed(d.t)
	c := d.run(append(s.flags(d.t, folder), "--health-retries=1", "--env=EVHTTPD_CONFIG=/srv/.evhttpd.yaml", image),
		"serve")
	if got, err := getWithin(c.pid, "127.0.0.1:9090", "/hello"); err != nil || got.status != 200 {
		d.t.Errorf("got %d %q, %v", got.status, got.body, err)
	}
	d.do("kill", "--signal=STOP", c.id)
	c.awaitHealth("unhealthy")
	d.do("kill", "--signal=CONT", c.id)
	c.awaitHealth("healthy")
}

// testUnhealthy: a health check that asks elsewhere fails.
func (d *docker) testUnhealthy(image string) {
	d.t.Helper()
	id := d.do("run", "--detach", "--rm", "--network=none", "--health-interval=1s", "--health-start-period=0s",
		"--health-retries=1",
		image, "serve", "/", "--listen", ":9090")
	c := &container{docker: d, id: id}
	defer d.do("rm", "--force", id)
	c.awaitHealth("unhealthy")
	if said := d.do("inspect", "--format={{json .State.Health.Log}}", id); !strings.Contains(said,
		"OPTIONS * at :8080") || !strings.Contains(said, "refused") {
		d.t.Errorf("it does not say why: %s", said)
	}
}
