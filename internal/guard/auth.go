package guard

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// credentialsMax bounds a name, a colon and a password, in bytes. bcrypt itself looks at 72 bytes of a password.
const credentialsMax = 1024

// Auth asks for a user's name and password (basic authentication, RFC 7617).
type Auth struct {
	Realm    string `yaml:"realm"`    // text without quotes and backslashes
	Htpasswd string `yaml:"htpasswd"` // a file of name:bcrypt lines
}

// CheckRealm says what is wrong with Auth.Realm.
func CheckRealm(s string) error {
	if strings.ContainsAny(s, `"\`) {
		return fmt.Errorf("%q: want a realm without quotes and backslashes", s)
	}
	return nil
}

// Realm is an Auth ready for use. It is safe for use by any number of goroutines.
type Realm struct {
	challenge string // the field that asks
	*passwords
}

func newRealm(realm string, p *passwords) *Realm {
	return &Realm{challenge: `WWW-Authenticate: Basic realm="` + realm + "\", charset=\"UTF-8\"\r\n", passwords: p}
}

// check lets a request pass that names a user and the password of that user, and notes the user for the access log.
// Every other request is refused, or put off with out.Defer.
func (r *Realm) check(req *http1.Request, buf []byte, out *conn.Output) (no Refusal, deferred bool) {
	var space [credentialsMax]byte
	given, colon, wrong := credentials(req, buf, &space)
	if wrong != "" {
		return Refusal{401, r.challenge, wrong}, false
	}
	c := r.comparison(given, colon)
	found := outcomeUnknown
	if v, ok := out.Result().(*verified); ok && v.by == r.passwords {
		found = v.outcome
	} else if out.Result() != nil || !r.due(out.Clock().Mono) {
		found = r.verifier.remembered(c.digest)
	}
	switch found {
	case outcomeRight:
		out.SetUser(given[:colon])
		return Refusal{}, false
	case outcomeWrong:
		return Refusal{401, r.challenge, "no such user, or not with this password (RFC 7617)"}, false
	case outcomeFlood:
		return Refusal{429, retrySoon, "too many passwords of this client wait to be checked"}, false
	case outcomeBusy:
		return Refusal{503, retrySoon, "too many passwords wait to be checked"}, false
	}
	if out.Deferrable() == 0 {
		return Refusal{503, retrySoon, "the password cannot be checked now"}, false
	}
	out.Defer(&verifyJob{
		key: verifyKey{r.passwords, c.digest}, given: bytes.Clone(given), colon: colon,
		client: out.Remote().Client(), mono: out.Clock().Mono,
	})
	return Refusal{}, true
}

// credentials decodes the name and password of a request (RFC 7617 section 2), and says where the colon between them
// stands. wrong says why there are none; it holds nothing of what was sent.
func credentials(req *http1.Request, buf []byte, space *[credentialsMax]byte) (given []byte, colon int, wrong string) {
	if !req.Has(http1.FieldAuthorization) {
		return nil, 0, "a user's name and password are wanted (RFC 7617)"
	}
	value := req.Get(http1.FieldAuthorization, buf)
	scheme, token, _ := bytes.Cut(value, blank)
	if !bytes.EqualFold(scheme, basic) {
		return nil, 0, "Authorization is not of the scheme Basic (RFC 7617)"
	}
	token = bytes.Trim(token, " ")
	if len(token) > base64.StdEncoding.EncodedLen(credentialsMax) {
		return nil, 0, "the name and password are longer than 1 KiB"
	}
	var decoded [credentialsMax + 3]byte
	n, err := base64.StdEncoding.Decode(decoded[:], token)
	if err != nil || n > credentialsMax {
		return nil, 0, "Authorization is not valid base64 (RFC 7617 section 2)"
	}
	given = space[:copy(space[:], decoded[:n])]
	colon = bytes.IndexByte(given, ':')
	if colon < 0 {
		return nil, 0, "Authorization has no colon between name and password (RFC 7617 section 2)"
	}
	if bytes.ContainsFunc(given, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, 0, "the name or password has a control character (RFC 7617 section 2)"
	}
	return given, colon, ""
}

var (
	blank = []byte{' '}
	basic = []byte("Basic")
)

// verifyJob reads the file of passwords again, if it is time to, and compares a password.
type verifyJob struct {
	key    verifyKey
	given  []byte // the name, a colon and the password
	colon  int
	client conn.Client
	mono   int64 // Clock.Mono of the request
}

type verifyKey struct {
	passwords *passwords
	digest    digest
}

// Key joins the jobs of requests with the same name and password: the connections of one browser.
func (j *verifyJob) Key() any { return j.key }

// Class implements conn.Job.
func (j *verifyJob) Class() conn.JobClass { return conn.JobVerify }

// Run implements conn.Job.
func (j *verifyJob) Run(conn.Demand) conn.Result {
	p := j.key.passwords
	p.look(j.mono)
	c := p.comparison(j.given, j.colon) // the file may have changed
	found := p.verifier.remembered(c.digest)
	if found == outcomeUnknown {
		found = p.verifier.compare(&c, j.given[j.colon+1:], j.client)
	}
	clear(j.given)
	return &verified{by: p, outcome: found}
}

// verified is the result of a verifyJob. It holds nothing that is to be freed.
type verified struct {
	by *passwords
	outcome
}

// Retain implements conn.Result.
func (*verified) Retain() {}

// Release implements conn.Result.
func (*verified) Release() {}
