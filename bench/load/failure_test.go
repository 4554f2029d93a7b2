package load

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// TestFailuresAreCountedApart has a hostile server do one wrong thing to each
// of three requests on one connection at a time.
func TestFailuresAreCountedApart(t *testing.T) {
	const requests = 3
	once := func(answer string) func(*peer) { // then the stream ends
		return func(p *peer) {
			if _, ok := p.request(); ok && p.write(answer) {
				p.linger()
			}
		}
	}
	always := func(answer string) func(*peer) { return each(func(int) string { return answer }) }
	for _, c := range []struct {
		name  string
		serve func(*peer)
		role  Role
		want  Counts
		first string // part of the description
	}{
		{name: "reset before the answer", want: lost(Reset, requests), first: "connection reset",
			serve: func(p *peer) {
				if _, ok := p.request(); ok {
					p.reset()
				}
			}},
		{name: "short: no answer", serve: once(""), want: lost(Short, requests), first: "1 answers due"},
		{name: "short: within the head", serve: once("HTTP/1.1 200 OK\r\nContent-"), want: lost(Short, requests)},
		{name: "short: within the content", serve: once(okAnswer[:len(okAnswer)-1]), want: lost(Short, requests),
			first: "4 content bytes"},
		{name: "short: within the content of a close", role: Role{CloseEach: true},
			serve: once(okAnswer[:len(okAnswer)-1]), want: lost(Short, requests)},
		{name: "short: content behind an answer to a pipelining client", role: Role{Pipeline: 3},
			serve: once(okAnswer + okAnswer[:len(okAnswer)-1]), want: Counts{Answered: 1, Lost: 2,
				Failures: failures(Short, 1)}},
		{name: "malformed: chunked, with a wrong size", want: lost(Malformed, requests),
			first: "size, CRLF, data, CRLF",
			serve: once(chunkedHead + "4\r\nhello\r\n0\r\n\r\n")},
		{name: "malformed: chunked and a length", want: lost(Malformed, requests),
			first: "Transfer-Encoding and Content-Length",
			serve: once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: " +
				"5\r\n\r\n5\r\nhello\r\n0\r\n\r\n")},
		{name: "malformed: switching protocols", want: lost(Malformed, requests), first: "101",
			serve: once("HTTP/1.1 101 Switching Protocols\r\n\r\n")},
		{name: "short: within the chunks", want: lost(Short, requests), first: "5 content bytes",
			serve: once(chunkedHead + "5\r\nhello\r\n")},
		{name: "wrong length: chunked, too short", serve: always(chunkedHead + "4\r\nhell\r\n0\r\n\r\n"),
			want: Counts{Failures: failures(WrongLength, requests)}, first: "4 bytes of content, not 5"},
		{name: "wrong length: chunked, too long", serve: always(chunkedHead + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
			want: Counts{Failures: failures(WrongLength, requests)}, first: "11 bytes of content, not 5"},
		{name: "wrong length: until the close, too short", serve: once("HTTP/1.0 200 OK\r\n\r\nhell"),
			want: Counts{Failures: failures(WrongLength, requests)}, first: "4 bytes of content, not 5"},
		{name: "malformed: another protocol", want: lost(Malformed, requests), first: "status line",
			serve: once("SSH-2.0-OpenSSH_9.2\r\n")},
		{name: "malformed: more than was asked for", serve: once(okAnswer + "!"),
			want: Counts{Answered: requests, Failures: failures(Malformed, requests)}, first: "no request had asked"},
		{name: "malformed: more behind a close", role: Role{CloseEach: true}, serve: once(okAnswer + "!"),
			want: Counts{Answered: requests, Failures: failures(Malformed, requests)}, first: "Connection: close"},
		{name: "wrong status", serve: always("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello"),
			want: Counts{Failures: failures(WrongStatus, requests)}, first: "/hello: status 404, not 200"},
		{name: "wrong length", serve: always("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"),
			want: Counts{Failures: failures(WrongLength, requests)}, first: "/hello: Content-Length 4, not 5"},
		{name: "wrong content", serve: always(strings.Replace(okAnswer, "hello", "hellO", 1)),
			want: Counts{Failures: failures(WrongContent, requests)}, first: "/hello: other content"},
		{name: "right", serve: always(okAnswer), want: Counts{Answered: requests}},
	} {
		t.Run(c.name, func(t *testing.T) {
			role := c.role
			role.Name, role.Addr = "hostile", server(t, c.serve)
			role.Connections, role.Requests, role.Targets = 1, requests, []Target{okTarget}
			r := mustRun(t, quick(Options{Roles: []Role{role}})).Roles[0]
			got := Counts{Answered: r.Answered, Lost: r.Lost, Failures: r.Failures}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if all := strings.Join(r.First[:], "\n"); !strings.Contains(all, c.first) {
				t.Errorf("described as %q, without %q", all, c.first)
			}
		})
	}
}

func failures(f Failure, n int64) (all [NumFailures]int64) {
	all[f] = n
	return all
}

func lost(f Failure, n int64) Counts { return Counts{Lost: n, Failures: failures(f, n)} }

// TestRefusedConnectsLoseTheirRequests: nobody listens at the address.
func TestRefusedConnectsLoseTheirRequests(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := addrOf(listener)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for _, closeEach := range []bool{false, true} {
		r := mustRun(t, quick(Options{Roles: []Role{
			{Addr: addr, Connections: 1, Requests: 3, CloseEach: closeEach, Targets: []Target{okTarget}},
		}})).Roles[0]
		// A kept connection is tried once more before there is a request for it.
		if r.Lost != 3 || r.Failures[Refused] < 3 || r.Failed() != r.Failures[Refused] {
			t.Errorf("close each %v: %+v", closeEach, r.Counts)
		}
	}
}

// TestTimeoutsAreCountedWithTheirWait: the server reads and says nothing.
func TestTimeoutsAreCountedWithTheirWait(t *testing.T) {
	const timeout = 20 * time.Millisecond
	addr := server(t, func(p *peer) {
		for ok := true; ok; _, ok = p.request() {
		}
	})
	r := mustRun(t, quick(Options{Timeout: timeout, Roles: []Role{
		{Addr: addr, Connections: 1, Pipeline: 2, Requests: 4, Targets: []Target{okTarget}},
	}})).Roles[0]
	if r.Failures[Timeout] != 2 || r.Lost != 4 || r.Failed() != 2 {
		t.Errorf("%+v", r.Counts)
	}
	if l := r.Latency; l.Count != 4 || l.P50 < timeout {
		t.Errorf("%d latencies with a median of %v: each is at least %v", l.Count, l.P50, timeout)
	}
}

// TestIdleConnectionsThatTheServerEnds are counted, as closed or as reset.
func TestIdleConnectionsThatTheServerEnds(t *testing.T) {
	const connections = 5
	for _, reset := range []bool{false, true} {
		var ended sync.WaitGroup
		ended.Add(connections)
		quiet := make(chan struct{})
		idle := server(t, func(p *peer) {
			defer ended.Done()
			if _, ok := p.request(); !ok || !p.write(okAnswer) {
				return
			}
			<-quiet
			if reset {
				p.reset()
			} else {
				p.linger()
			}
			_ = p.Close()
		})
		active := server(t, func(p *peer) {
			close(quiet) // it begins when all idle connections have been answered
			if _, ok := p.request(); !ok {
				return
			}
			ended.Wait()
			p.write(okAnswer)
		})
		r := mustRun(t, quick(Options{Roles: []Role{
			{Name: "idle", Addr: idle, Connections: connections, Idle: true, Targets: []Target{okTarget}},
			{Name: "active", Addr: active, Connections: 1, Requests: 1, CloseEach: true, Targets: []Target{okTarget}},
		}})).Roles[0]
		want := Counts{Requests: connections, Answered: connections, Opened: connections, Served: connections,
			Compared: connections}
		if reset {
			want.Failures[Reset] = connections
		} else {
			want.Closed = connections
		}
		if r.Counts != want {
			t.Errorf("reset %v:\ngot  %+v\nwant %+v", reset, r.Counts, want)
		}
	}
}

// TestCloseBeforePipelinedAnswers: RFC 9112 section 9.6: what stands behind
// an answer that says close is to be sent again, and is no failure.
func TestCloseBeforePipelinedAnswers(t *testing.T) {
	addr := server(t, func(p *peer) {
		if _, ok := p.request(); ok && p.write(strings.Replace(okAnswer, "\r\n\r\n", "\r\nConnection: close\r\n\r\n",
			1)) {
			p.linger()
		}
	})
	r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 1, Pipeline: 4, Requests: 8,
		Targets: []Target{okTarget}}}})).Roles[0]
	if r.Answered != 8 || r.Opened != 8 || r.Failed() != 0 || r.Resent < 6 {
		t.Errorf("%+v", r.Counts)
	}
}
