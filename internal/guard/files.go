package guard

import "fmt"

// PasswordFiles are the htpasswd files of all sites: each is read once, whatever number of rules names it.
type PasswordFiles struct {
	verifier *Verifier
	warn     func(msg, path string)
	known    map[string]*passwords
}

// NewPasswordFiles returns none yet, whose passwords v compares.
func NewPasswordFiles(v *Verifier, warn func(msg, path string)) *PasswordFiles {
	return &PasswordFiles{verifier: v, warn: warn, known: make(map[string]*passwords)}
}

// Realm returns what a asks for, ready for use.
func (f *PasswordFiles) Realm(a *Auth) (*Realm, error) {
	p, err := f.open(a.Htpasswd)
	if err != nil {
		return nil, fmt.Errorf("htpasswd: %s: %w", a.Htpasswd, err)
	}
	return newRealm(a.Realm, p), nil
}

func (f *PasswordFiles) open(file string) (*passwords, error) {
	if p := f.known[file]; p != nil {
		return p, nil
	}
	p, err := newPasswords(file, f.verifier, f.warn)
	if err == nil {
		f.known[file] = p
	}
	return p, err
}

// Reread reads all files again. It may block.
func (f *PasswordFiles) Reread() {
	for _, p := range f.known {
		p.reread()
	}
}
