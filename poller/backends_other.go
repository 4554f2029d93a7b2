//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package poller

// backends is empty: there is none for this platform yet.
var backends []Backend
