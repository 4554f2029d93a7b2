//go:build !linux

package daemon

// monotonicMicros is for systemd, which runs on Linux alone.
func monotonicMicros() int64 { return 0 }
