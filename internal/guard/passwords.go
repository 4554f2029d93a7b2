package guard

import (
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
)

const (
	// lookEvery is how often a htpasswd file is looked at, in nanoseconds.
	lookEvery = 1e9
	// lookOverdue is the age of a look, in nanoseconds, from which on each request waits for the next look: a user
	// who was removed does not get in once more after a quiet hour.
	lookOverdue = 2e9
)

// PasswordFiles are the htpasswd files of all sites. Each is read once, whatever number of rules names it.
type PasswordFiles struct {
	verifier *Verifier
	warn     func(msg, path string)
	known    map[string]*passwords
}

// NewPasswordFiles returns an empty collection. v compares the passwords. warn is told when a file has become one
// that cannot be used; it may be called from any goroutine and must not block.
func NewPasswordFiles(v *Verifier, warn func(msg, path string)) *PasswordFiles {
	return &PasswordFiles{verifier: v, warn: warn, known: make(map[string]*passwords)}
}

// Realm returns what a asks for, ready for use.
func (f *PasswordFiles) Realm(a *Auth) (*Realm, error) {
	p := f.known[a.Htpasswd]
	if p == nil {
		var err error
		if p, err = newPasswords(a.Htpasswd, f.verifier, f.warn); err != nil {
			return nil, fmt.Errorf("htpasswd: %s: %w", a.Htpasswd, err)
		}
		f.known[a.Htpasswd] = p
	}
	return newRealm(a.Realm, p), nil
}

// Reread reads all files again, whether they have changed or not. It may block.
func (f *PasswordFiles) Reread() {
	for _, p := range f.known {
		p.reread()
	}
}

// passwords are the users of one htpasswd file, which is read again when it changes. It is safe for use by any number
// of goroutines.
type passwords struct {
	file     string
	verifier *Verifier
	warn     func(msg, path string)

	users  atomic.Pointer[users]
	looked atomic.Int64 // Clock.Mono of the request that began the last look which has ended
	began  atomic.Int64 // Clock.Mono of the request that began the last look

	mu      sync.Mutex  // held while the file is looked at
	settled os.FileInfo // the file as it was read; nil: it may have changed since without a sign of it
	told    string      // the last warning, if nothing good was read since
}

// newPasswords reads the file. Its errors do not name the file.
func newPasswords(file string, v *Verifier, warn func(msg, path string)) (*passwords, error) {
	p := &passwords{file: file, verifier: v, warn: warn}
	p.looked.Store(math.MinInt64 / 2)
	p.began.Store(math.MinInt64 / 2)
	u, settled, err := readHtpasswd(file)
	p.users.Store(u)
	p.settled = settled
	return p, err
}

// comparison is the one that is to be made for credentials, with the file as it was read last.
func (p *passwords) comparison(given []byte, colon int) (c comparison) {
	p.verifier.hash(p.users.Load(), given[:colon], &c.hash)
	c.digest = p.verifier.digest(&c.hash, given)
	return c
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

// look reads the file if it has changed and was not looked at within a second of mono. It does not wait for another
// look: on a file system that hangs one worker is lost and not all, and the users that were read last stay.
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

// read reads the file if it has changed. A file that cannot be used changes nothing, and is warned of once. mu is held.
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
