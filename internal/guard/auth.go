package guard

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

const (
	// credentialsMax bounds a name, a colon and a password, in bytes. bcrypt itself looks at 72 bytes of a password.
	credentialsMax = 1024
	// lookEvery is how often a htpasswd file is looked at, in nanoseconds.
	lookEvery = 1e9
	// lookOverdue is how old a look may be before each request waits for the
	// next one: a user that was removed does not get in once more after a quiet hour.
	lookOverdue = 2e9
)

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

// check lets a request pass that names a user and that user's password, and
// notes the user for the access log. Every other request is refused, or put off with out.Defer.
func (a *Realm) check(req *http1.Request, buf []byte, out *conn.Output) (r Refusal, deferred bool) {
	var space [credentialsMax]byte
	given, colon, wrong := credentials(req, buf, &space)
	if wrong != "" {
		return Refusal{401, a.challenge, wrong}, false
	}
	found := outcomeUnknown
	if v, ok := out.Result().(*verdict); ok && v.of == a.passwords {
		found = v.outcome
	} else if out.Result() != nil || !a.due(out.Clock().Mono) {
		found = a.remembered(given, colon)
	}
	switch found {
	case outcomeRight:
		out.SetUser(given[:colon])
		return Refusal{}, false
	case outcomeWrong:
		return Refusal{401, a.challenge, "no such user, or not with this password (RFC 7617)"}, false
	case outcomeFlood:
		return Refusal{429, retrySoon, "too many passwords of this client wait to be checked"}, false
	case outcomeBusy:
		return Refusal{503, retrySoon, "too many passwords wait to be checked"}, false
	}
	if out.Deferrable() == 0 {
		return Refusal{503, retrySoon, "the password cannot be checked now"}, false
	}
	a.defers(given, colon, out)
	return Refusal{}, true
}

// credentials decodes the user's name and password that the request came with
// (RFC 7617 section 2), and says where the colon between them stands. wrong says why there are none; it
// holds nothing of what was sent.
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
	for _, c := range given {
		if c < ' ' || c == 0x7f {
			return nil, 0, "the name or password has a control character (RFC 7617 section 2)"
		}
	}
	return given, colon, ""
}

var (
	blank = []byte{' '}
	basic = []byte("Basic")
)

// passwords are the users of one htpasswd file, which is read again when it
// changes. It is safe for use by any number of goroutines.
type passwords struct {
	file     string
	verifier *Verifier
	warn     func(msg, path string)

	users  atomic.Pointer[users]
	looked atomic.Int64 // Clock.Mono of who began the last look that is finished
	began  atomic.Int64 // Clock.Mono of who began the last one

	mu      sync.Mutex // held by who looks
	settled os.FileInfo
	told    string // the last warning, if nothing good was read since
}

// newPasswords reads the file, whose error is as for people, without the file's name. warn is told when the file has
// become one that cannot be used; it may be called from any goroutine and must not block.
func newPasswords(file string, v *Verifier, warn func(msg, path string)) (*passwords, error) {
	p := &passwords{file: file, verifier: v, warn: warn}
	p.looked.Store(math.MinInt64 / 2)
	p.began.Store(math.MinInt64 / 2)
	u, settled, err := readHtpasswd(file)
	if err != nil {
		return nil, err
	}
	p.users.Store(u)
	p.settled = settled
	return p, nil
}

// remembered is what is known of the credentials, as they are compared with the file as it was read last.
func (p *passwords) remembered(given []byte, colon int) outcome {
	var hash [hashLen]byte
	p.verifier.hash(p.users.Load(), given[:colon], &hash)
	return p.verifier.remembered(p.verifier.digest(&hash, given))
}

// due reports whether this request is to look at the file first.
func (p *passwords) due(mono int64) bool {
	age := mono - p.looked.Load()
	if age < lookEvery || age >= lookOverdue {
		return age >= lookOverdue
	}
	began := p.began.Load()
	return mono-began >= lookEvery && p.began.CompareAndSwap(began, mono)
}

// defers puts the request off until its password has been compared.
func (p *passwords) defers(given []byte, colon int, out *conn.Output) {
	j := &verifyJob{of: p, given: bytes.Clone(given), colon: colon, client: out.Remote().Client(), mono: out.Clock().Mono}
	var hash [hashLen]byte
	p.verifier.hash(p.users.Load(), given[:colon], &hash)
	j.key = verifyKey{p, p.verifier.digest(&hash, given)}
	out.Defer(j)
}

// verifyJob looks at the file, if it is time to, and compares a password.
type verifyJob struct {
	of     *passwords
	key    verifyKey
	given  []byte
	colon  int
	client conn.Client
	mono   int64
}

type verifyKey struct {
	of     *passwords
	digest digest
}

// Key joins those who bring the same name and password: the connections of one browser.
func (j *verifyJob) Key() any { return j.key }

// Class implements conn.Job.
func (j *verifyJob) Class() conn.JobClass { return conn.JobVerify }

// Run implements conn.Job.
func (j *verifyJob) Run(conn.Demand) conn.Result {
	p, v := j.of, j.of.verifier
	p.look(j.mono)
	var hash [hashLen]byte
	v.hash(p.users.Load(), j.given[:j.colon], &hash)
	d := v.digest(&hash, j.given)
	found := v.remembered(d)
	if found == outcomeUnknown {
		found = v.compare(&hash, j.given[j.colon+1:], d, j.client)
	}
	clear(j.given)
	return &verdict{of: p, outcome: found}
}

// verdict is what became of a name and password. It holds nothing that is to be freed.
type verdict struct {
	of *passwords
	outcome
}

// Retain implements conn.Result.
func (*verdict) Retain() {}

// Release implements conn.Result.
func (*verdict) Release() {}

// look reads the file if it has changed and was not looked at within a second of
// mono. It does not wait for another look: on a file system that hangs, one worker is lost
// and not all, and what was read last goes on.
func (p *passwords) look(mono int64) {
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if mono-p.looked.Load() >= lookEvery {
		p.read()
		p.looked.Store(mono)
	}
}

// reread reads the file, whether it has changed or not. It may block.
func (p *passwords) reread() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = nil
	p.read()
}

// read reads the file if it has changed. One that cannot be used changes nothing, and is told of once. mu is held.
func (p *passwords) read() {
	if p.settled != nil {
		if info, err := os.Stat(p.file); err == nil && sameFile(info, p.settled) {
			return
		}
	}
	u, settled, err := readHtpasswd(p.file)
	p.settled = settled
	if err == nil {
		p.users.Store(u)
		p.told = ""
		return
	}
	if text := err.Error(); text != p.told {
		p.told = text
		if p.warn != nil {
			p.warn("the htpasswd file cannot be used, the users that were read last stay: "+text, p.file)
		}
	}
}
