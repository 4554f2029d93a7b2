//go:build !unix

package poller

// backends is empty: there is none for this platform yet.
var backends []Backend
