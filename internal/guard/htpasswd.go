package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/evhttpd/evhttpd/http1"
)

const (
	// htpasswdMax bounds the file, in bytes: some 14,000 users.
	htpasswdMax = 1 << 20
	// nameMax bounds a user's name, in bytes, as htpasswd does.
	nameMax = 255
	// costMax is the highest cost of bcrypt, the highest that htpasswd makes: seconds of a CPU for each password.
	costMax = 17
	// hashLen is the length of a bcrypt hash, "$2y$10$", the salt and the hash proper.
	hashLen = 60
)

// users are the lines of a htpasswd file. They do not change.
type users struct {
	hashes map[string]string // the bcrypt hash of each name
	costs  []string          // the beginnings of the hashes, "$2y$10$", one for each user
}

// CheckHtpasswd says what is wrong with a file of users and their passwords, in which line, and what to do about it.
func CheckHtpasswd(file string) error {
	_, _, err := readHtpasswd(file)
	return err
}

// readHtpasswd reads a file of users. settled is what Stat says of the file; nil if it may have changed meanwhile. An
// error does not name the file, which is reported beside it.
func readHtpasswd(file string) (u *users, settled os.FileInfo, err error) {
	defer func() {
		if of, ok := err.(*os.PathError); ok {
			err = of.Err
		}
	}()
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0) // a FIFO would wait for a writer
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("is no regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, htpasswdMax+1))
	if err != nil {
		return nil, nil, err
	}
	if len(text) > htpasswdMax {
		return nil, nil, fmt.Errorf("is larger than %d bytes", htpasswdMax)
	}
	if u, err = parseHtpasswd(text); err != nil {
		return nil, nil, err
	}
	after, err := f.Stat()
	if err == nil && sameFile(info, after) && time.Since(info.ModTime()) > racy {
		settled = info
	}
	return u, settled, nil
}

// racy is how long after a change another one may leave the same time of modification.
const racy = 2 * time.Second

// sameFile reports whether two looks found the same file in the same state.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// parseHtpasswd reads the lines of a htpasswd file: name:hash, or name:hash:comment as nginx has it. Empty lines and
// lines that begin with # are passed over.
func parseHtpasswd(text []byte) (*users, error) {
	u := &users{hashes: make(map[string]string)}
	lines := make(map[string]int)
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimRight(line, " \t\r")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, hash, err := parseUser(string(line))
		if err == nil && lines[name] != 0 {
			err = fmt.Errorf("%q is in line %d already: keep one of them", name, lines[name])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		lines[name] = i + 1
		u.hashes[name] = hash
		u.costs = append(u.costs, hash[:len("$2y$10$")])
	}
	if len(lines) == 0 {
		return nil, errors.New(`has no users: add one with "htpasswd -B FILE NAME"`)
	}
	return u, nil
}

// again is what to do about a hash that is not taken.
const again = `set the password again with "htpasswd -B FILE NAME"`

// parseUser reads one line.
func parseUser(line string) (name, hash string, err error) {
	name, rest, ok := strings.Cut(line, ":")
	hash, _, _ = strings.Cut(rest, ":")
	switch {
	case !ok:
		return "", "", errors.New("has no colon: want name:hash, as \"htpasswd -B FILE NAME\" writes it")
	case name == "" || len(name) > nameMax:
		return "", "", fmt.Errorf("a name of %d bytes: want 1 to %d", len(name), nameMax)
	case !utf8.ValidString(name) || http1.HasControl(name):
		return "", "", errors.New("a name with control characters, or that is not UTF-8 (RFC 7617 section 2)")
	}
	if kind := otherHash(hash); kind != "" {
		return "", "", fmt.Errorf("%q has %s, and only bcrypt is taken: "+again, name, kind)
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil || cost > costMax || len(hash) != hashLen || strings.Trim(hash[len("$2y$10$"):], bcryptDigits) != "" {
		return "", "", fmt.Errorf("%q has a bcrypt hash that is cut off, or of a cost that is not %d to %d: "+again,
			name, bcrypt.MinCost, costMax)
	}
	return name, hash, nil
}

// bcryptDigits are those of bcrypt's own base64.
const bcryptDigits = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// otherHash says what kind a hash is if it is no bcrypt hash; empty: it is one.
func otherHash(hash string) string {
	for _, kind := range []struct{ prefix, name string }{
		{"$2a$", ""}, {"$2b$", ""}, {"$2y$", ""}, // the same hash, by programs of other histories
		{"$2x$", "a bcrypt hash of the flawed kind ($2x$)"},
		{"$apr1$", "an MD5 hash ($apr1$)"},
		{"$1$", "an MD5 hash ($1$)"},
		{"{SHA}", "a SHA-1 hash ({SHA})"},
		{"{SSHA}", "a SHA-1 hash ({SSHA})"},
		{"{PLAIN}", "plain text ({PLAIN})"},
		{"$5$", "a SHA-256 hash ($5$)"},
		{"$6$", "a SHA-512 hash ($6$)"},
		{"$y$", "a yescrypt hash ($y$)"},
		{"$argon2", "an Argon2 hash ($argon2)"},
		{"$scrypt$", "an scrypt hash ($scrypt$)"},
	} {
		if strings.HasPrefix(hash, kind.prefix) {
			return kind.name
		}
	}
	if len(hash) == 13 {
		return "a crypt hash (DES), or plain text"
	}
	return "plain text, or a hash of an unknown kind"
}
