package daemon

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/quota"
	"github.com/evhttpd/evhttpd/internal/static"
)

// announce writes the start-up lines.
func (s *Server) announce() {
	say := func(format string, args ...any) { s.events.Say(zap.InfoLevel, fmt.Sprintf(format, args...)) }
	for i, l := range s.listeners {
		where := l.Where()
		if i == 0 {
			say("serving %s at %s", served(s.cfg), where)
		} else {
			say("and at %s", where)
		}
		if contained() { // the addresses are its engine's: other machines know it by a port of the host
			continue
		}
		for _, url := range l.RemoteURLs() {
			say("from other machines %s", url)
		}
	}
	for _, line := range sitesServed(s.cfg) {
		say("%s", line)
	}
	var parts []string
	if len(s.cfg.Sites) == 1 {
		parts = append(parts, map[bool]string{true: "listing on", false: "listing off"}[s.cfg.Sites[0].Listing])
	}
	switch parts = append(parts, s.model.choice.String()); {
	case s.model.choice.Loops:
		parts = append(parts, counted(s.model.options.Loops, "loop"))
	case s.model.choice.Threads:
		parts = append(parts, s.model.describeThreads())
	}
	if s.cfg.AccessLog.Output != "-" {
		parts = append(parts, "access log "+s.cfg.AccessLog.Output)
	}
	if most, ok := quota.Setting("net.core.somaxconn"); ok && most < uint64(s.cfg.Backlog) {
		parts = append(parts, fmt.Sprintf("backlog %d of %d (net.core.somaxconn)", most, s.cfg.Backlog))
	}
	if most := cacheMemory(s.cfg); most < s.cfg.Cache.Memory {
		parts = append(parts, fmt.Sprintf("cache %d MiB of %d (the limit of memory)", most>>20, s.cfg.Cache.Memory>>20))
	}
	parts = append(parts, s.missing()...)
	for _, l := range s.adminListeners {
		say("control plane at %s", l.Where())
	}
	say("%s", strings.Join(parts, ", "))
	if advice := adviceAgainstRoot(os.Geteuid()); advice != "" {
		s.events.Say(zap.WarnLevel, advice)
	}
}

// missing says what the kernel, or a filter before it, lacks that the server does without.
func (s *Server) missing() (parts []string) {
	if static.Walks() {
		parts = append(parts, "no openat2(2): paths are looked up name by name")
	}
	if s.model.choice.Loops && s.model.options.Loops > 1 && s.cfg.Accept != "shared" && listener.LacksReusePort() {
		parts = append(parts, "no SO_REUSEPORT: loops share each socket")
	}
	return parts
}

// status is what the server does, in one line for systemctl status.
func (s *Server) status() string {
	var at []string
	for _, l := range s.listeners {
		at = append(at, l.Where())
	}
	return fmt.Sprintf("serving %s at %s, %s", served(s.cfg), strings.Join(at, ", "), s.model.choice)
}

// counted puts a number before a noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// adviceAgainstRoot says in one line how to start the server as another user, if its user is root. The server does
// not change its user itself: a process that has given up root cannot bind a port that a reload adds, nor start its
// successor in an upgrade as it was started. docs/operations.md says how to give it the rights it needs.
func adviceAgainstRoot(uid int) string {
	if uid != 0 {
		return ""
	}
	return "running as root, which it never needs: for ports below 1024 use systemd's socket activation or " +
		"User= with AmbientCapabilities=CAP_NET_BIND_SERVICE; " +
		"in a container, its own user (docker run --user, runAsUser)"
}

// containerMarks are what engines leave in a container: Docker, Podman, systemd-nspawn.
var containerMarks = []string{"/.dockerenv", "/run/.containerenv", "/run/systemd/container"}

// contained reports whether this process seems to run in a container, whose network is not the machine's. There is no
// sure way to know. Signs of it are to be process 1, the files of engines, and the variables that Kubernetes and
// systemd's interface for containers define.
func contained() bool {
	if os.Getpid() == 1 || os.Getenv("container") != "" || os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return true
	}
	for _, mark := range containerMarks {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}
