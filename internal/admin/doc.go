// Package admin is the control plane: metrics, health and status of a running
// server, on listeners of its own and over net/http, so that it answers while the
// server's loops do not. It only tells: every method but GET and HEAD is refused, and
// no address changes anything.
//
// It knows the server by the functions that it is given. It imports conn for what is counted, and of other modules
// zap and prometheus/client_golang.
package admin
