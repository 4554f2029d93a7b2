// Package systemd tells systemd what the server does, and feeds its watchdog. Where systemd does not run, or did not
// start the server, that does nothing.
//
// It imports internal/grace, zap, and on Linux go-systemd.
package systemd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/internal/grace"
)

const (
	// notifyMax is how long telling systemd may take. It takes no time unless
	// systemd itself hangs with its queue full, and then nothing here is to hang with it.
	notifyMax = time.Second
	// feedings is how often the watchdog is fed in its time. systemd advises two
	// (sd_watchdog_enabled(3)); one more lets one come late.
	feedings = 3
	// pingGrace is how much longer than its own timeout a ping may take.
	pingGrace = 100 * time.Millisecond
)

// Notifier tells systemd what the server does, by the protocol of
// sd_notify(3). Where systemd does not listen (NOTIFY_SOCKET is not set) its
// methods do nothing. They may be called from any goroutine.
type Notifier struct {
	events   *zap.Logger
	watchdog time.Duration // how long systemd waits for a sign of life; 0: it does not

	mu    sync.Mutex
	moved bool // another process is the service's main one
}

// New returns the notifier of this process. What cannot be told is
// an event.
func New(events *zap.Logger) *Notifier {
	n := &Notifier{events: events}
	var err error
	if n.watchdog, err = watchdogTime(); err != nil {
		events.Warn("systemd's watchdog is not fed", zap.Error(err))
	}
	return n
}

// Ready says that the server serves, after its start or after a reload, and
// what: systemctl status shows it.
func (n *Notifier) Ready(status string) { n.send("READY=1", "STATUS="+status) }

// Reloading says that the configuration is about to change. Ready is to follow
// in every case. With the time (systemd 253) it serves Type=notify-reload too.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1", monotonicTime())
}

// Stopping says that the server is about to end, and what it waits for.
func (n *Notifier) Stopping(status string) { n.send("STOPPING=1", "STATUS="+status) }

// Status replaces the line that systemctl status shows.
func (n *Notifier) Status(status string) { n.send("STATUS=" + status) }

// MainPID hands the service over to another process of it, which has taken
// over the listeners. From then on this process says nothing and feeds no
// watchdog: the other does.
func (n *Notifier) MainPID(pid int) {
	n.send(fmt.Sprintf("MAINPID=%d", pid))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.moved = true
}

// send tells systemd, one assignment a line.
func (n *Notifier) send(lines ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.moved {
		return
	}
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, "\n", " ") // else what follows would be an assignment
	}
	var err error
	if !grace.Finishes(func() { err = notify(strings.Join(lines, "\n")) }, notifyMax) {
		n.events.Warn("systemd does not take notifications", zap.Strings("notification", lines))
		return
	}
	if err != nil {
		n.events.Warn("systemd cannot be notified", zap.Strings("notification", lines), zap.Error(err))
	}
}

// Watch feeds systemd's watchdog, if the unit has one (WatchdogSec=), as long as
// ping succeeds: ping is to ask everything that must not be stuck, and to
// return an error when something has not answered within timeout. The watchdog then
// goes hungry, and systemd ends and restarts the service. stop ends the feeding.
func (n *Notifier) Watch(ping func(timeout time.Duration) error) (stop func()) {
	if n.watchdog == 0 {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		n.feed(ping, n.watchdog/feedings, quit)
	}()
	return sync.OnceFunc(func() { close(quit); <-done })
}

func (n *Notifier) feed(ping func(timeout time.Duration) error, every time.Duration, quit <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	hungry := false
	asked := make(chan error, 1)
	unanswered := false
	for {
		if !unanswered {
			go func() { asked <- ping(every) }()
		}
		// What is stuck may hold a lock that asking it takes: the event is to come all the same.
		err := errors.New("what is asked whether it lives does not return: it is stuck where it holds a lock")
		select {
		case err = <-asked:
			unanswered = false
		case <-time.After(every + pingGrace):
			unanswered = true
		}
		switch {
		case err == nil:
			n.send("WATCHDOG=1")
			if hungry {
				n.events.Info("systemd's watchdog is fed again")
			}
		case !hungry:
			n.events.Error("systemd's watchdog is not fed: the service is restarted if this lasts",
				zap.Duration("watchdog", n.watchdog), zap.Error(err))
		}
		hungry = err != nil
		select {
		case <-tick.C:
		case <-quit:
			return
		}
	}
}

// SuccessorEnv returns the environment for a process that is to take this
// one's place: WATCHDOG_PID names this process, and the other would take the watchdog
// for none of its business (sd_watchdog_enabled(3)).
func SuccessorEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(s string) bool { return strings.HasPrefix(s, "WATCHDOG_PID=") })
}
