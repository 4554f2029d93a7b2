// Package guard says whether a request may pass: by the client's address, by its rate, by a user's password, and for
// which other origins' scripts.
//
// A [Guard] asks the questions of one path, in their order. [Limiter] counts the requests of a client, and
// [Forwarded] finds out who the client is when a proxy stands before the server. Which guard a path has is
// for internal/site to say, which combines the rules.
//
// It imports conn and http1, and bcrypt of golang.org/x/crypto.
package guard

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// Refusal is the answer to a request that may not pass. Its status is 0 for a request that may.
type Refusal struct {
	Status int
	Fields string // whole lines, each with its CRLF
	Reason string // as for Output.Fail
}

const retrySoon = "Retry-After: 1\r\n"

// Guard says who may have a path. It is never changed, and safe for use by any number of goroutines. A nil Guard lets
// everybody pass, and so does each part that is nil.
type Guard struct {
	Networks *Networks
	Origins  *Origins
	Realm    *Realm
}

// Check says what becomes of a request before it comes to the files. A refusal whose status is not 0 is to be
// answered with. Otherwise done says that the request has been answered, or put off.
//
// The fields for other origins' scripts are added first, so that a script is told of a refusal too. A preflight brings
// no password (Fetch, CORS-preflight fetch), so it is answered before a password is asked for.
func (g *Guard) Check(req *http1.Request, buf []byte, out *conn.Output) (r Refusal, done bool) {
	if g == nil {
		return Refusal{}, false
	}
	g.Origins.add(req, buf, out)
	if !g.Networks.Allows(out.Remote().AddrPort().Addr()) {
		return Refusal{403, "", reasonDenied}, false
	}
	if g.Origins.check(req, buf, out) {
		return Refusal{}, true
	}
	if g.Realm != nil {
		return g.Realm.check(req, buf, out)
	}
	return Refusal{}, false
}
