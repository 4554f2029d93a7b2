//go:build !linux

package systemd

import "time"

// systemd runs on Linux alone.

func notify(string) error { return nil }

func watchdogTime() (time.Duration, error) { return 0, nil }

func monotonicTime() string { return "" }
