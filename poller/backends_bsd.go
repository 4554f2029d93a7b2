//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package poller

// backends is what macOS and the BSDs have, in the order of preference.
var backends = []Backend{kqueueBackend, pollBackend, selectBackend, spinBackend}
