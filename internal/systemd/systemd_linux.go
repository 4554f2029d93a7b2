package systemd

import (
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify sends systemd a notification, if it listens (sd_notify(3)).
func notify(assignments string) error {
	_, err := daemon.SdNotify(false, assignments)
	return err
}

// watchdogTime returns how long systemd waits for a sign of life of this process; 0 if it does not.
func watchdogTime() (time.Duration, error) { return daemon.SdWatchdogEnabled(false) }

// monotonicTime is the assignment of CLOCK_MONOTONIC, which systemd compares with its own.
func monotonicTime() string { return strings.TrimSpace(daemon.SdNotifyMonotonicUsec()) }
