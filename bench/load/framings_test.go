package load

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// oneAnswer answers the first request of a connection and ends the stream.
func oneAnswer(answer string) func(*peer) {
	return func(p *peer) {
		if _, ok := p.request(); ok && p.write(answer) {
			p.linger()
		}
	}
}

// TestServersOfEveryKind: what servers of HTTP/1.1 and HTTP/1.0 may answer is right, is learnt as it
// is then measured, over TCP and over a Unix socket, pipelined too.
func TestServersOfEveryKind(t *testing.T) {
	const requests = 12
	for _, c := range []struct {
		name  string
		serve func(*peer)
		each  bool // the server closes behind each answer
	}{
		{"chunked", each(func(int) string { return chunkedHead + "2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\nX: y\r\n\r\n" }),
			false},
		{"chunked, then closed", oneAnswer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: " +
			"close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), true},
		{"until the close", oneAnswer("HTTP/1.1 200 OK\r\n\r\nhello"), true},
		{"HTTP/1.0", oneAnswer("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"), true},
		{"HTTP/1.0 until the close", oneAnswer("HTTP/1.0 200 OK\r\n\r\nhello"), true},
		{"HTTP/1.0 keep-alive", each(func(int) string {
			return "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"
		}), false},
		{"interim responses", each(func(int) string {
			return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + okAnswer
		}), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			socket, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			serveOn(t, socket, c.serve)
			for _, addr := range []Addr{server(t, c.serve), addrOf(socket)} {
				target, _, err := Learn(t.Context(), addr, Target{Path: "/hello"})
				if err != nil || target.Status != 200 || target.Length != 5 || string(target.Body) != "hello" {
					t.Fatalf("%v: learnt %+v, %v", addr, target, err)
				}
				for _, role := range []Role{{}, {Pipeline: 3}, {CloseEach: true}, {Greet: true}} {
					role.Addr, role.Connections, role.Requests, role.Targets = addr, 2, requests, []Target{target}
					r := mustRun(t, quick(Options{Roles: []Role{role}})).Roles[0]
					want := int64(requests)
					if role.Greet {
						want += 2
					}
					if r.Answered != want || r.Compared != want || r.Failed() != 0 ||
						!maps.Equal(r.Statuses, map[int]int64{200: want}) {
						t.Errorf("%v, %+v: %+v %v %q", addr, role, r.Counts, r.Statuses, r.First)
					}
					if closes := c.each || role.CloseEach; closes != (r.Opened >= want) {
						t.Errorf("%v: %d connections for %d answers", addr, r.Opened, want)
					}
				}
			}
		})
	}
}

// TestRequestsWithContent: the server gets the method, the fields and every byte.
func TestRequestsWithContent(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 1<<16) // more than a socket's buffers take
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "PROPFIND" || string(got) != content || r.Header.Get("Depth") != "1" ||
			r.Host != "example" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusMultiStatus)
	}))
	defer s.Close()
	target := Target{Method: "PROPFIND", Host: "example", Fields: []string{"Depth: 1"}, Content: []byte(content),
		Status: SuccessStatus, Length: AnyLength}
	for _, role := range []Role{{Pipeline: 1}, {Pipeline: 3}, {CloseEach: true}} {
		role.Addr, role.Connections, role.Requests, role.Targets = addrOf(s.Listener), 2, 12, []Target{target}
		r := mustRun(t, quick(Options{Roles: []Role{role}})).Roles[0]
		if r.Answered != 12 || r.Failed() != 0 || r.Statuses[http.StatusMultiStatus] != 12 {
			t.Errorf("%+v %v %q", r.Counts, r.Statuses, r.First)
		}
	}
}

// TestContentThatIsNotTaken: the server answers and closes while the content is still on its way. That is no
// failure of the answer where it arrives, and the client goes on either way.
func TestContentThatIsNotTaken(t *testing.T) {
	addr := server(t, oneAnswer("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	target := Target{Method: "PUT", Content: make([]byte, 8<<20), Status: 413}
	r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 2, Requests: 6,
		Targets: []Target{target}}}})).Roles[0]
	if r.Answered != 6 || r.Failed() != 0 {
		t.Errorf("%+v %q", r.Counts, r.First)
	}
}

// TestStatuses: which answers are right, and that all are counted by their status.
func TestStatuses(t *testing.T) {
	statuses := []int{200, 204, 301, 404, 503, 999}
	for expected, right := range map[int]int64{AnyStatus: 6, SuccessStatus: 3, 404: 1} {
		addr := server(t, each(func(n int) string {
			return fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n", statuses[n])
		}))
		r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 1, Requests: 6,
			Targets: []Target{{Status: expected, Length: AnyLength}}}}})).Roles[0]
		if r.Answered != right || r.Failures[WrongStatus] != 6-right || len(r.Statuses) != 6 || r.Statuses[999] != 1 {
			t.Errorf("expected %d: %+v %v", expected, r.Counts, r.Statuses)
		}
	}
}

// TestTargetsInTurn: as many requests as there are targets ask for each once, with several loops too.
func TestTargetsInTurn(t *testing.T) {
	const targets = 30
	for _, loops := range []int{1, 3} {
		var mu sync.Mutex
		asked := make(map[string]int)
		order := ""
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			asked[r.URL.Path]++
			order += r.URL.Path
		}))
		var all []Target
		want := ""
		for i := range targets {
			all = append(all, Target{Path: fmt.Sprintf("/%d", i), Length: AnyLength})
			want += all[i].Path
		}
		r := mustRun(t, quick(Options{Loops: loops, Roles: []Role{{Addr: addrOf(s.Listener), Connections: loops,
			Requests: targets, Targets: all, InTurn: true}}})).Roles[0]
		s.Close()
		if r.Answered != targets || len(asked) != targets || loops == 1 && order != want {
			t.Errorf("%d loops: %d answered, %d of %d asked for, as %s", loops, r.Answered, len(asked), targets, order)
		}
	}
}

// TestRateBelowOne: two requests are due at the start and after 1/rate seconds.
func TestRateBelowOne(t *testing.T) {
	var mu sync.Mutex
	var at []time.Time
	addr := server(t, each(func(int) string {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		return okAnswer
	}))
	const rate = 0.8
	r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 1, Rate: rate, Requests: 2,
		Targets: []Target{okTarget}}}}))
	mu.Lock()
	defer mu.Unlock()
	if r.Roles[0].Answered != 2 || r.Window < time.Duration(float64(time.Second)/rate) ||
		at[1].Sub(r.Began) < time.Duration(float64(time.Second)/rate) {
		t.Errorf("%+v within %v, at %v from %v", r.Roles[0].Counts, r.Window, at, r.Began)
	}
}
