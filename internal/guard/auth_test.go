package guard

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/testkit"
)

// vault is a htpasswd file and a door that it guards.
type vault struct {
	*door
	file  string
	users *passwords
	told  []string
}

func newVault(t testing.TB, lines ...string) *vault {
	t.Helper()
	v := &vault{file: filepath.Join(t.TempDir(), "htpasswd")}
	v.write(t, lines...)
	p, err := newPasswords(v.file, NewVerifier(1, 8), func(msg, _ string) { v.told = append(v.told, msg) })
	if err != nil {
		t.Fatal(err)
	}
	v.users = p
	v.door = newDoor(t, newRealm("Staff", p).check)
	return v
}

// write replaces the file, with a time of modification that counts as old.
func (v *vault) write(t testing.TB, lines ...string) {
	t.Helper()
	next := v.file + ".new"
	if err := os.WriteFile(next, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.Chtimes(next, old, old), os.Rename(next, v.file)); err != nil {
		t.Fatal(err)
	}
}

func basicField(credentials string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)) + "\r\n"
}

// asks has a request with those credentials answered, and returns its status.
func (v *vault) asks(credentials string) int {
	v.t.Helper()
	return v.ask("GET", basicField(credentials)).StatusCode
}

func body(r *http.Response) string {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestAuth(t *testing.T) {
	hash := hashOf(t, "secret")
	v := newVault(t, "alice:"+hash, "bob:"+hashOf(t, "se:cret"), "José:"+hashOf(t, "pässword"), "carol:"+hashOf(t, ""))
	long := strings.Repeat("a", 2000)
	for _, c := range []struct {
		name, field string
		status      int
		says        string // in the body of a refusal; of those who pass: the user
	}{
		{"right", basicField("alice:secret"), 200, "alice"},
		{"the scheme in any case, more spaces", strings.Replace(basicField("alice:secret"), "Basic", "bASIC  ", 1),
			200, "alice"},
		{"a colon in the password", basicField("bob:se:cret"), 200, "bob"},
		{"UTF-8", basicField("José:pässword"), 200, "José"},
		{"an empty password that is right", basicField("carol:"), 200, "carol"},
		{"no field", "", 401, "wanted"},
		{"an empty field", "Authorization:\r\n", 401, "not of the scheme"},
		{"the scheme alone", "Authorization: Basic\r\n", 401, "no colon"},
		{"another scheme", "Authorization: Bearer abc\r\n", 401, "not of the scheme"},
		{"a scheme that begins so", "Authorization: Basicx abc\r\n", 401, "not of the scheme"},
		{"another password", basicField("alice:Secret"), 401, "no such user, or not"},
		{"a password that begins with the right one", basicField("alice:secretx"), 401, "no such user, or not"},
		{"no password", basicField("alice:"), 401, "no such user, or not"},
		{"another case", basicField("Alice:secret"), 401, "no such user, or not"},
		{"nobody", basicField("dave:secret"), 401, "no such user, or not"},
		{"no name", basicField(":secret"), 401, "no such user, or not"},
		{"the hash as the password", basicField("alice:" + hash), 401, "no such user, or not"},
		{"no colon", basicField("alice"), 401, "no colon"},
		{"nothing", basicField(""), 401, "no colon"},
		{"NUL in the password", basicField("alice:secret\x00secret"), 401, "control character"},
		{"NUL in the name", basicField("alice\x00:secret"), 401, "control character"},
		{"a line break", basicField("alice\r\nX: y:secret"), 401, "control character"},
		{"no base64", "Authorization: Basic %%%\r\n", 401, "base64"},
		{"base64 without padding", "Authorization: Basic YWxpY2U6c2VjcmV0MQ\r\n", 401, "base64"},
		{"base64 with a space within", "Authorization: Basic YWxp Y2U6c2VjcmV0\r\n", 401, "base64"},
		{"base64 of URLs", "Authorization: Basic " +
			base64.URLEncoding.EncodeToString([]byte("alice:\xff\xff\xfe")) + "\r\n", 401, "base64"},
		{"1 KiB", basicField("alice:" + long[:1024-6]), 401, "no such user, or not"},
		{"1 KiB and a byte", basicField("alice:" + long[:1024-5]), 401, ""},
		{"8 KiB", basicField("alice:" + strings.Repeat(long, 4)), 401, "longer than 1 KiB"},
		{"8 KiB of no base64", "Authorization: Basic " + strings.Repeat("!", 8000) + "\r\n", 401, "longer than 1 KiB"},
		{"a long name", basicField(long[:1000] + ":x"), 401, "no such user, or not"},
		{"invalid UTF-8", basicField("\xff\xfe:\xff"), 401, "no such user, or not"},
		{"two fields", basicField("alice:secret") + basicField("alice:secret"), 400, "twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // compared, and remembered
				r := v.ask("GET", c.field)
				text := body(r)
				if r.StatusCode != c.status {
					t.Fatalf("got %d %s, want %d", r.StatusCode, text, c.status)
				}
				challenge := r.Header.Get("WWW-Authenticate")
				if (c.status == 401) != (challenge == `Basic realm="Staff", charset="UTF-8"`) {
					t.Errorf("%d has the challenge %q", c.status, challenge)
				}
				if c.status == 200 {
					if string(v.log.user) != c.says {
						t.Errorf("the log has user %q, want %q", v.log.user, c.says)
					}
				} else if !strings.Contains(text, c.says) || len(v.log.user) > 0 {
					t.Errorf("%q does not say %q; the log has user %q", text, c.says, v.log.user)
				}
				for _, private := range []string{"secret", "alice", "dave", long[:20]} {
					if c.status != 200 && strings.Contains(text+v.log.reason, private) {
						t.Errorf("the answer or the log has %q of the request: %q", private, text)
					}
				}
			}
		})
	}
}

func TestAuthEveryMethod(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "secret"))
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST"} {
		if r := v.ask(method, ""); r.StatusCode != 401 {
			t.Errorf("%s: %d", method, r.StatusCode)
		}
	}
}

// What was compared once is not compared again, right or wrong, until the file says something else of the user.
func TestAuthRemembers(t *testing.T) {
	secret := "alice:" + hashOf(t, "secret")
	v := newVault(t, secret, "bob:"+hashOf(t, "b"))
	for _, c := range []struct {
		credentials string
		status      int
	}{{"alice:secret", 200}, {"alice:wrong", 401}, {"nobody:wrong", 401}, {"bob:b", 200}} {
		before := v.jobs
		for range 3 {
			if got := v.asks(c.credentials); got != c.status {
				t.Fatalf("%s: %d, want %d", c.credentials, got, c.status)
			}
		}
		if jobs := v.jobs - before; jobs != 1 {
			t.Errorf("%s: %d jobs, want 1", c.credentials, jobs)
		}
	}
	v.write(t, secret, "bob:"+hashOf(t, "c"), "nobody:"+hashOf(t, "wrong"))
	v.advance(time.Second)
	before := len(*v.users.verifier.right.Load())
	for credentials, want := range map[string]int{"alice:secret": 200, "bob:b": 401, "bob:c": 200,
		"nobody:wrong": 200} {
		if got := v.asks(credentials); got != want {
			t.Errorf("%s after the change: %d, want %d", credentials, got, want)
		}
	}
	if now := len(*v.users.verifier.right.Load()); now != before+2 { // alice was not compared again
		t.Errorf("%d right ones are remembered, were %d", now, before)
	}
	v.write(t, "bob:"+hashOf(t, "c"))
	v.advance(time.Hour)
	if got := v.asks("alice:secret"); got != 401 {
		t.Errorf("removed: %d", got)
	}
}

// The file is looked at once a second at most, and by whoever comes after a quiet time.
func TestAuthLooksOnceASecond(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "secret"))
	v.asks("alice:secret")
	v.advance(time.Second - 1)
	before := v.jobs
	v.asks("alice:secret")
	if v.jobs != before {
		t.Error("the file was looked at within a second")
	}
	v.advance(1)
	v.asks("alice:secret")
	v.asks("alice:secret")
	if v.jobs != before+1 {
		t.Errorf("%d looks after a second, want 1", v.jobs-before)
	}
}

func TestAuthKeepsTheLastGoodFile(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "secret"))
	for _, bad := range []string{"alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "", "bob:" + hashOf(t, "b")[:40]} {
		v.told = nil
		v.write(t, bad)
		for range 3 { // it is told once
			v.advance(3 * time.Second)
			if got := v.asks("alice:secret"); got != 200 {
				t.Errorf("%.20q: %d", bad, got)
			}
		}
		if len(v.told) != 1 || !strings.Contains(v.told[0], "stay") {
			t.Errorf("%.20q: told %q", bad, v.told)
		}
	}
	if err := os.Remove(v.file); err != nil {
		t.Fatal(err)
	}
	v.told = nil
	v.advance(3 * time.Second)
	if got := v.asks("alice:secret"); got != 200 || len(v.told) != 1 || !strings.Contains(v.told[0], "no such file") {
		t.Errorf("removed: %d, told %q", got, v.told)
	}
	v.write(t, "bob:"+hashOf(t, "b"))
	v.advance(3 * time.Second)
	if alice, bob := v.asks("alice:secret"), v.asks("bob:b"); alice != 401 || bob != 200 {
		t.Errorf("good again: alice %d, bob %d", alice, bob)
	}
}

// A file that was changed moments ago is read again though its time and size are the same.
func TestAuthReadsAYoungFileAgain(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "a"))
	now := time.Now()
	for _, password := range []string{"b", "c"} {
		if err := errors.Join(os.WriteFile(v.file, []byte("alice:"+hashOf(t, password)), 0o600),
			os.Chtimes(v.file, now, now)); err != nil {
			t.Fatal(err)
		}
		v.advance(time.Second)
		if got := v.asks("alice:" + password); got != 200 {
			t.Errorf("%s: %d", password, got)
		}
	}
}

// A reload reads the file at once, however short ago it was looked at.
func TestAuthReread(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "a"))
	v.asks("alice:a")
	v.write(t, "alice:"+hashOf(t, "b"))
	v.users.reread()
	if old, now := v.asks("alice:a"), v.asks("alice:b"); old != 401 || now != 200 {
		t.Errorf("old password %d, new one %d", old, now)
	}
}

// A name that nobody has costs what a user's does: its hash is one of a user's cost, always
// the same, that bcrypt works on to the end.
func TestAuthNobodyCostsAComparison(t *testing.T) {
	u, err := parseHtpasswd([]byte("alice:" + hashOf(t, "a") + "\nbob:$2y$06$" + hashOf(t, "b")[7:]))
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(1, 1)
	costs := make(map[int]int)
	for i := range 200 {
		name := fmt.Appendf(nil, "nobody%d", i)
		var hash, again [hashLen]byte
		v.hash(u, name, &hash)
		if v.hash(u, name, &again); hash != again {
			t.Fatal("the same name has two hashes")
		}
		cost, err := bcrypt.Cost(hash[:])
		if err != nil {
			t.Fatal(err)
		}
		costs[cost]++
		if i == 0 && bcrypt.CompareHashAndPassword(hash[:], []byte("a")) != bcrypt.ErrMismatchedHashAndPassword {
			t.Error("bcrypt refuses the hash of nobody before it has worked")
		}
	}
	if len(costs) != 2 || costs[4] < 50 || costs[6] < 50 {
		t.Errorf("nobodies by cost: %v, want some 100 of 4 and of 6", costs)
	}
	jobs := newVault(t, "alice:"+hashOf(t, "a"))
	known, unknown := jobs.asks("alice:wrong"), jobs.asks("nobody:wrong")
	if wrong := len(*jobs.users.verifier.wrong.Load()); known != 401 || unknown != 401 || wrong != 2 {
		t.Errorf("%d and %d, %d comparisons, want 2", known, unknown, wrong)
	}
}

// What is remembered has bounds, and holds no password.
func TestAuthMemoryIsBounded(t *testing.T) {
	v := NewVerifier(1, 1)
	for i := range 3 * wrongMax {
		var hash [hashLen]byte
		d := v.digest(&hash, fmt.Appendf(nil, "a:%d", i))
		v.remember(&v.wrong, d, wrongMax)
		if v.remembered(d) != outcomeWrong {
			t.Fatalf("comparison %d is forgotten at once", i)
		}
	}
	if n := len(*v.wrong.Load()); n != wrongMax {
		t.Errorf("%d are remembered, want %d", n, wrongMax)
	}
	if NewVerifier(1, 1).secret == v.secret {
		t.Error("two verifiers have the same key")
	}
}

// With the gate full of one client's comparisons another client still gets in; with the gate full of all, it is full.
func TestGate(t *testing.T) {
	g := newGate(1, 4)
	a, b, c := conn.ClientOf(address("192.0.2.1")), conn.ClientOf(address("2001:db8::")),
		conn.ClientOf(address("192.0.2.3"))
	for _, step := range []struct {
		client conn.Client
		want   outcome
	}{{a, outcomeUnknown}, {a, outcomeUnknown}, {a, outcomeFlood}, {b, outcomeUnknown}, {c, outcomeUnknown},
		{b, outcomeBusy}, {a, outcomeFlood}} {
		if got := g.admit(step.client); got != step.want {
			t.Fatalf("%v: %d, want %d", step.client, got, step.want)
		}
	}
	g.turn <- struct{}{}
	g.leave(a)
	if got := g.admit(a); got != outcomeUnknown {
		t.Errorf("after one has left: %d", got)
	}
	wide := NewVerifier(1, 4)
	for _, step := range []struct {
		within int
		client conn.Client
		want   outcome
	}{{2, a, outcomeUnknown}, {2, a, outcomeUnknown}, {2, b, outcomeUnknown}, {2, c, outcomeUnknown},
		{2, b, outcomeBusy}, {5, a, outcomeFlood}, {5, b, outcomeUnknown}, {5, c, outcomeBusy}} {
		wide.Widen(step.within)
		if got := wide.gate.admit(step.client); got != step.want {
			t.Fatalf("widened to %d, %v: %d, want %d", step.within, step.client, got, step.want)
		}
	}
	unix := newGate(1, 4) // all clients of a proxy at a Unix socket
	for range 4 {
		if got := unix.admit(conn.Client{}); got != outcomeUnknown {
			t.Errorf("at a Unix socket: %d", got)
		}
	}
}

// A flood of wrong passwords never has more comparisons under way than the gate lets in: the rest is refused at once.
func TestAuthFloodIsRefusedAtOnce(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "secret"))
	gate := &v.users.verifier.gate
	gate.turn <- struct{}{} // comparisons do not get on
	var wg sync.WaitGroup
	inside := make(chan *verifyJob, gate.each)
	for i := range gate.each {
		given := fmt.Appendf(nil, "alice:%d", i)
		j := &verifyJob{key: verifyKey{passwords: v.users}, given: given, colon: 5,
			client: conn.ClientOf(address("192.0.2.1")), mono: v.local.Clock.Mono}
		wg.Go(func() { j.Run(wanted{}); inside <- j })
	}
	testkit.Eventually(t, func() error {
		gate.mu.Lock()
		defer gate.mu.Unlock()
		if n := gate.all; n != gate.each {
			return fmt.Errorf("%d comparisons are under way, want %d", n, gate.each)
		}
		return nil
	})
	r := v.ask("GET", basicField("alice:flood"))
	if text := body(r); r.StatusCode != 429 || r.Header.Get("Retry-After") != "1" ||
		!strings.Contains(text, "this client") || r.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %q %v", r.StatusCode, text, r.Header)
	}
	if len(inside) != 0 {
		t.Error("comparisons got on")
	}
	<-gate.turn
	wg.Wait()
	if got := v.asks("alice:secret"); got != 200 {
		t.Errorf("after the flood: %d", got)
	}
	if gate.all+len(gate.within) != 0 || len(gate.turn) != 0 {
		t.Errorf("%d are left in the gate", gate.all)
	}
}

// The same credentials on several connections are one job.
func TestAuthJobsAreJoined(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "secret"))
	var keys []any
	v.run = func(j conn.Job) conn.Result {
		keys = append(keys, j.Key())
		return &verified{by: v.users, outcome: outcomeBusy}
	}
	for _, credentials := range []string{"alice:secret", "alice:secret", "alice:other"} {
		if got := v.asks(credentials); got != 503 {
			t.Errorf("busy: %d", got)
		}
	}
	if keys[0] != keys[1] || keys[0] == keys[2] {
		t.Error("equal credentials have different keys, or different ones the same")
	}
}

// A result that another step of the request waited for does not let in.
func TestAuthOtherResultsLetNobodyIn(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "secret"))
	other := newVault(t, "alice:"+hashOf(t, "other"))
	v.run = func(j conn.Job) conn.Result {
		v.run = nil
		return &verified{by: other.users, outcome: outcomeRight}
	}
	if got := v.asks("alice:other"); got != 401 {
		t.Errorf("the result of another file lets in: %d", got)
	}
}

func TestAuthAllocatesNothing(t *testing.T) {
	v := newVault(t, "alice:"+hashOf(t, "secret"))
	for name, field := range map[string]string{
		"right": basicField("alice:secret"), "wrong": basicField("alice:wrong"), "nobody": basicField("dave:x"),
		"none": "", "no base64": "Authorization: Basic !\r\n",
	} {
		if n := v.allocations("GET / HTTP/1.1\r\nHost: a\r\n" + field + "\r\n"); n != 0 {
			t.Errorf("%s: %v allocations a request", name, n)
		}
	}
}

func FuzzCredentials(f *testing.F) {
	for _, value := range []string{"Basic YWxpY2U6c2VjcmV0", "basic", "Basic  =", "Basic " +
		strings.Repeat("A", 1400), "Bearer x"} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		raw := append([]byte("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: "), value...)
		raw = append(raw, "\r\n\r\n"...)
		var req http1.Request
		if http1.Parse(raw, 0, &http1.Limits{}, &req) != http1.Complete {
			return
		}
		var space [credentialsMax]byte
		given, colon, wrong := credentials(&req, raw, &space)
		switch {
		case wrong == "" && (colon < 0 || colon >= len(given) || given[colon] != ':' ||
			strings.ContainsAny(string(given), "\x00\n\r\x7f")):
			t.Errorf("%q at %d", given, colon)
		case wrong != "" && given != nil:
			t.Errorf("%s, and yet %q", wrong, given)
		case wrong == "":
			name, password, ok := (&http.Request{Header: http.Header{
				"Authorization": {string(req.Get(http1.FieldAuthorization, raw))}}}).BasicAuth()
			if !ok || name != string(given[:colon]) || password != string(given[colon+1:]) {
				t.Errorf("%q, net/http: %q, %q, %v", given, name, password, ok)
			}
		}
	})
}

func BenchmarkAuth(b *testing.B) {
	v := newVault(b, "alice:"+hashOf(b, "secret"))
	v.measure(b, "GET / HTTP/1.1\r\nHost: a\r\n"+basicField("alice:secret")+"\r\n")
}
