// Package ring has the loops of package reactor run over io_uring(7): a
// [reactor.Completer] that accepts, receives and sends by completions.
//
// It imports conn, model, poller, reactor, sendfile, uring and golang.org/x/sys.
package ring
