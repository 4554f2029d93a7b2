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
	// notifyMax is how long a notification may take. It takes no time unless systemd hangs and its queue is full; the
	// server is not to hang with it.
	notifyMax = time.Second
	// feedings is how often the watchdog is fed in its time. systemd advises twice (sd_watchdog_enabled(3)); with one
	// more, one may come late.
	feedings = 3
	// pingGrace is how much longer than its own timeout a ping may take.
	pingGrace = 100 * time.Millisecond
)

// Notifier tells systemd what the server does, by the protocol of
// sd_notify(3). Where systemd does not listen (NOTIFY_SOCKET is not set) its
// methods do nothing. They may be called from any goroutine.
type Notifier struct {
	events   *zap.Logger
	watchdog time.Duration // how long systemd waits for a sign of life; 0 if it does not

	mu    sync.Mutex
	moved bool // another process is the main one of the service
}

// New returns the notifier of this process. A notification that cannot be sent is an event.
func New(events *zap.Logger) *Notifier {
	n := &Notifier{events: events}
	var err error
	if n.watchdog, err = watchdogTime(); err != nil {
		events.Warn("systemd's watchdog is not fed", zap.Error(err))
	}
	return n
}

// Ready says that the server serves, after its start or after a reload. systemctl status shows the line status.
func (n *Notifier) Ready(status string) { n.send("READY=1", "STATUS="+status) }

// Reloading says that the configuration is about to change. Ready is to follow
// in every case. With the time (systemd 253) it serves Type=notify-reload too.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1", monotonicTime())
}

// Stopping says that the server is about to end. The line status says what it waits for.
func (n *Notifier) Stopping(status string) { n.send("STOPPING=1", "STATUS="+status) }

// MainPID says that another process, which has taken over the listeners, is the service's main one from now on. This
// process sends nothing any more and does not feed the watchdog: the other one does.
func (n *Notifier) MainPID(pid int) {
	n.send(fmt.Sprintf("MAINPID=%d", pid))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.moved = true
}

// send sends assignments to systemd, each in a line.
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

// Watch feeds systemd's watchdog, if the unit has one (WatchdogSec=), as long as ping succeeds. ping is to ask
// everything that must not be stuck, and to return an error when something has not answered within timeout. Then the
// watchdog is not fed, and systemd ends and restarts the service. stop ends the feeding.
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
		// ping itself may not return, for want of a lock that is held where something is stuck.
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

// SuccessorEnv returns env for a process that is to take the place of this one, without WATCHDOG_PID. That names this
// process, and the other one would not feed the watchdog (sd_watchdog_enabled(3)).
func SuccessorEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(s string) bool { return strings.HasPrefix(s, "WATCHDOG_PID=") })
}
