package guard

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// hashOf is a bcrypt hash of the least cost.
func hashOf(tb testing.TB, password string) string {
	tb.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		tb.Fatal(err)
	}
	return string(hash)
}

// fixed is the hash of "U*U" that Openwall's crypt_blowfish has in its own tests, without what it begins with.
const fixed = "$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

// The hashes of other programs are those that bcrypt makes here.
func TestHtpasswdOfOtherPrograms(t *testing.T) {
	v := newVault(t, "a:$2a"+fixed, "b:$2b"+fixed, "y:$2y"+fixed)
	for _, name := range []string{"a", "b", "y"} {
		if right, wrong := v.asks(name+":U*U"), v.asks(name+":U*U*"); right != 200 || wrong != 401 {
			t.Errorf("$2%s$: the right password %d, a wrong one %d", name, right, wrong)
		}
	}
}

func TestParseHtpasswd(t *testing.T) {
	hash := hashOf(t, "secret")
	y, b := "$2y"+hash[3:], "$2b"+hash[3:]
	u, err := parseHtpasswd([]byte("# staff\n\nalice:" + hash + "\r\nbob:" + y + ":a comment\n  \nJosé:" + b +
		"\na b:" + hash + " \t\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"alice": hash, "bob": y, "José": b, "a b": hash}
	for name, hash := range want {
		if u.hashes[name] != hash {
			t.Errorf("%s has %q, want %q", name, u.hashes[name], hash)
		}
	}
	if len(u.hashes) != len(want) || len(u.costs) != len(want) {
		t.Errorf("%d users, %d costs", len(u.hashes), len(u.costs))
	}
}

func TestParseHtpasswdRefuses(t *testing.T) {
	hash := hashOf(t, "secret")
	for _, c := range []struct{ text, line, want string }{
		{"", "", "no users"},
		{"# nobody\n\n", "", "no users"},
		{"alice\n", "line 1: ", "no colon"},
		{"\n\n:" + hash, "line 3: ", "0 bytes"},
		{strings.Repeat("a", 256) + ":" + hash, "line 1: ", "256 bytes"},
		{"a\x1bb:" + hash, "line 1: ", "control characters"},
		{"a\xffb:" + hash, "line 1: ", "not UTF-8"},
		{"alice:" + hash + "\nbob:" + hash + "\nalice:" + hash, "line 3: ", "in line 1 already"},
		{"alice:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "line 1: ", "MD5"},
		{"alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "line 1: ", "SHA-1"},
		{"alice:$1$salt$hash", "line 1: ", "MD5"},
		{"alice:$5$salt$hash", "line 1: ", "SHA-256"},
		{"alice:$6$salt$hash", "line 1: ", "SHA-512"},
		{"alice:$y$j9T$salt$hash", "line 1: ", "yescrypt"},
		{"alice:$2x" + hash[3:], "line 1: ", "flawed"},
		{"alice:rqXexS6ZhobKA", "line 1: ", "DES"},
		{"alice:secret", "line 1: ", "plain text"},
		{"alice:", "line 1: ", "plain text"},
		{"alice:" + hash[:59], "line 1: ", "cut off"},
		{"alice:" + hash + "x", "line 1: ", "cut off"},
		{"alice:" + hash[:20] + "!" + hash[21:], "line 1: ", "cut off"},
		{"alice:$2a$18$" + hash[7:], "line 1: ", "cost"},
		{"alice:$2a$31$" + hash[7:], "line 1: ", "cost"},
		{"alice:$2a$03$" + hash[7:], "line 1: ", "cost"},
		{"alice:$2a$-1$" + hash[7:], "line 1: ", "cost"},
	} {
		_, err := parseHtpasswd([]byte(c.text))
		if err == nil || !strings.HasPrefix(err.Error(), c.line) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %q and %q", c.text, err, c.line, c.want)
			continue
		}
		if strings.Contains(err.Error(), hash[10:]) || strings.Contains(err.Error(), "W6ph5") {
			t.Errorf("%.40q: the error shows the hash: %v", c.text, err)
		}
		if cure := "htpasswd -B"; (strings.Contains(c.want, "MD5") || strings.Contains(c.want, "SHA") ||
			c.want == "plain text" || c.want == "cut off") && !strings.Contains(err.Error(), cure) {
			t.Errorf("%.40q: no cure in %v", c.text, err)
		}
	}
}

func TestReadHtpasswd(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "htpasswd")
	good := "alice:" + hashOf(t, "secret") + "\n"
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckHtpasswd(file); err != nil {
		t.Error(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte(good+strings.Repeat("#", htpasswdMax)), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{filepath.Join(dir, "none"): "no such file", dir: "regular file",
		large: "larger than", fifo: "regular file"} {
		if err := CheckHtpasswd(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func FuzzParseHtpasswd(f *testing.F) {
	f.Add([]byte("alice:$2y" + fixed + "\n"))
	f.Add([]byte("#\n:\n\x00:$2y$"))
	f.Fuzz(func(t *testing.T, text []byte) {
		u, err := parseHtpasswd(text)
		if err != nil {
			return
		}
		if len(u.hashes) == 0 || len(u.hashes) != len(u.costs) {
			t.Errorf("%d users, %d costs", len(u.hashes), len(u.costs))
		}
		for name, hash := range u.hashes {
			if cost, err := bcrypt.Cost([]byte(hash)); err != nil || cost > costMax || len(hash) != hashLen ||
				name == "" {
				t.Errorf("%q: %q", name, hash)
			}
		}
	})
}
