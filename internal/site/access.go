package site

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// refusal is the answer to a request that is not let pass. Its status is 0 for one that is.
type refusal struct {
	status int
	fields string // whole lines, each with its CRLF
	reason string // as for Output.Fail
}

const retrySoon = "Retry-After: 1\r\n"

// Access is who may have what a rule's paths lead to. What is nil or empty says nothing.
type Access struct {
	Allow, Deny []netip.Prefix
	Auth        *Auth
	CORS        *CORS
}

// access is what the rules of a path say together of who may have it. It is
// never changed, and safe for use by any number of goroutines. A nil one lets everybody.
type access struct {
	networks *networks // nil: any address
	cors     *cors     // nil: no other origin is told anything
	auth     *auth     // nil: nobody is asked for a password
}

// check says what becomes of a request before it comes to the files: refused,
// if the status of r is not 0, done, when it has been answered or put off, or neither.
//
// The fields for other origins' scripts are added first, so that a script is told of
// a refusal too. A preflight brings no password (Fetch, CORS-preflight fetch), so it is answered before one is asked for.
func (a *access) check(req *http1.Request, buf []byte, out *conn.Output) (r refusal, done bool) {
	if a == nil {
		return refusal{}, false
	}
	a.cors.add(req, buf, out)
	if !a.networks.allow(out.Remote().AddrPort().Addr()) {
		return refusal{403, "", reasonDenied}, false
	}
	if a.cors.check(req, buf, out) {
		return refusal{}, true
	}
	if a.auth != nil {
		return a.auth.check(req, buf, out)
	}
	return refusal{}, false
}

// guards reports whether a is to be asked of a file beside the access of the path
// that was asked for, which has been: there is somebody whom only a refuses.
func (a *access) guards(asked *access) bool {
	switch {
	case a == nil:
		return false
	case asked == nil:
		return a.networks != nil || a.auth != nil
	}
	return a.networks != nil && a.networks != asked.networks || a.auth != nil && a.auth != asked.auth
}

// accesses are the accesses of one site, by the rules that make them. It is safe
// for use by any number of goroutines.
type accesses struct {
	rules []Rule
	auths []*auth // by rule
	cors  []*cors

	mu   sync.Mutex
	made map[accessKey]*access
}

// accessKey is which rules an access is of, for each of its keys the last that says something; -1: none.
type accessKey struct{ allow, deny, auth, cors int }

// accessesMax bounds those that are remembered; others are made each time that a path is worked out.
const accessesMax = 1024

// newAccesses makes ready what the rules say. files are those of passwords that have been read.
func newAccesses(rules []Rule, files *passwordFiles) (*accesses, error) {
	a := &accesses{rules: rules, made: make(map[accessKey]*access)}
	for i, r := range rules {
		var asks *auth
		if r.Auth != nil {
			p, err := files.open(r.Auth.Htpasswd)
			if err != nil {
				return nil, fmt.Errorf("paths[%d].auth.htpasswd: %s: %w", i, r.Auth.Htpasswd, err)
			}
			asks = newAuth(r.Auth.Realm, p)
		}
		shares, err := newCORS(r.CORS)
		if err != nil {
			return nil, fmt.Errorf("paths[%d].%w", i, err)
		}
		a.auths, a.cors = append(a.auths, asks), append(a.cors, shares)
	}
	return a, nil
}

// of returns what the rules that match say together; nil if nothing. matching is as host.matching has it.
func (a *accesses) of(matching string) *access {
	key := accessKey{-1, -1, -1, -1}
	for i := range a.rules {
		if matching[i] == no {
			continue
		}
		r := &a.rules[i]
		if len(r.Allow) > 0 {
			key.allow = i
		}
		if len(r.Deny) > 0 {
			key.deny = i
		}
		if r.Auth != nil {
			key.auth = i
		}
		if r.CORS != nil {
			key.cors = i
		}
	}
	if key == (accessKey{-1, -1, -1, -1}) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if made := a.made[key]; made != nil {
		return made
	}
	made := a.make(key)
	if len(a.made) < accessesMax {
		a.made[key] = made
	}
	return made
}

func (a *accesses) make(key accessKey) *access {
	made := &access{}
	var allow, deny []netip.Prefix
	if key.allow >= 0 {
		allow = a.rules[key.allow].Allow
	}
	if key.deny >= 0 {
		deny = a.rules[key.deny].Deny
	}
	made.networks = newNetworks(allow, deny)
	if key.auth >= 0 {
		made.auth = a.auths[key.auth]
	}
	if key.cors >= 0 {
		made.cors = a.cors[key.cors]
	}
	return made
}

// passwordFiles are the htpasswd files of all sites: each is read once, whatever number of rules names it.
type passwordFiles struct {
	verifier *Verifier
	warn     func(msg, path string)
	known    map[string]*passwords
}

// newPasswordFiles returns none yet, whose passwords v compares.
func newPasswordFiles(v *Verifier, warn func(msg, path string)) *passwordFiles {
	return &passwordFiles{verifier: v, warn: warn, known: make(map[string]*passwords)}
}

func (f *passwordFiles) open(file string) (*passwords, error) {
	if p := f.known[file]; p != nil {
		return p, nil
	}
	p, err := newPasswords(file, f.verifier, f.warn)
	if err == nil {
		f.known[file] = p
	}
	return p, err
}

// reread reads all files again. It may block.
func (f *passwordFiles) reread() {
	for _, p := range f.known {
		p.reread()
	}
}
