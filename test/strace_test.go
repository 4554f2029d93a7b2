package test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// tracedCall is one call in strace's output: [pid N] or N in front with -f -o.
var tracedCall = regexp.MustCompile(`^(?:\d+ +)?(\w+)\(`)

// traceStart is a path whose request marks where counting begins.
const traceStart = "/count-from-here"

// countCalls counts the calls by name, from the request for traceStart on. Lines
// that end in <unfinished ...> count once, since their "resumed" halves do not begin with a name.
func countCalls(trace io.Reader) (map[string]int, error) {
	calls := make(map[string]int)
	started := false
	lines := bufio.NewScanner(trace)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		started = started || strings.Contains(lines.Text(), "GET "+traceStart)
		if m := tracedCall.FindStringSubmatch(lines.Text()); m != nil && started {
			calls[m[1]]++
		}
	}
	return calls, lines.Err()
}

func TestCountCalls(t *testing.T) {
	got, err := countCalls(strings.NewReader(`12 recvfrom(7, "GET /", 4096, 0, NULL, NULL) = 5
12 recvfrom(7, "GET /count-from-here HTTP/1.1\r\nH"..., 4096, 0, NULL, NULL) = 50
12 sendto(7, "HTTP", 4, MSG_NOSIGNAL, NULL, 0 <unfinished ...>
13 recvfrom(8, 0xc000, 4096, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
12 <... sendto resumed>) = 4
13 --- SIGURG {si_signo=SIGURG} ---
13 +++ exited with 0 +++
`))
	if err != nil || got["recvfrom"] != 2 || got["sendto"] != 1 || len(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
}

// receives is the system call that a model's own library receives with, where that is not recvfrom. Package net
// tries one before it waits, and another when it has.
var receives = map[string]struct {
	call     string
	aRequest int // calls at most
}{"goroutine": {"read", 2}, "netpoll": {"readv", 1}}

// TestOneRecvAndOneSend: under wrk a small request costs one recvfrom and one
// sendto, and nothing that touches a file or the poller's interests.
func TestOneRecvAndOneSend(t *testing.T) {
	strace := tool(t, "strace")
	tool(t, "wrk")
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "small", pattern(1024, 16))
		output := filepath.Join(t.TempDir(), "trace")
		// -D: the server is our child and strace its own, which needs no right to trace others.
		s := launch(t, testkit.Command(strace, "-D", "-f", "-q", "-e", "trace=network,desc,file", "-e", "signal=none",
			"-o", output,
			binary, "serve", root, "--listen", "127.0.0.1:0", "--io-model", v.Model, "--trigger", v.Trigger,
			"--access-log", "off", "--loops", "1"))
		s.settle(t, "/small")
		s.get(t, traceStart) // what comes after this one counts
		const connections = 8
		requests := s.wrk(t, "small", fmt.Sprintf("-c%d", connections))
		s.stop(t)
		file, err := os.Open(output)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		calls, err := countCalls(file)
		if err != nil {
			t.Fatal(err)
		}
		// wrk leaves with requests in flight, each connection's end is a recvfrom more.
		few := 3*connections + 16
		if v.Model == "io_uring" {
			// A connection's first turn makes the calls itself. Then there is one
			// for all requests of a batch, which also waits for the next.
			if n := calls["recvfrom"] + calls["sendto"] + calls["sendmsg"]; n > 2*few {
				t.Errorf("%d calls to receive and send for %d connections: %v", n, connections, calls)
			}
			if n := calls["io_uring_enter"]; n == 0 || n > requests+few {
				t.Errorf("%d io_uring_enter for %d requests: %v", n, requests, calls)
			}
		} else {
			checkTransfers(t, v, calls, requests, few)
		}
		seldom := []string{"sendfile", "epoll_ctl"}
		if v.Loops() {
			// A look at the root or the file once a second is fine; one a request is
			// not. The others look for each request that comes alone, which most do to slow threads.
			seldom = append(seldom, "read", "openat", "openat2", "newfstatat", "fstat", "close")
		}
		for _, name := range seldom {
			if calls[name] > requests/4+128 {
				t.Errorf("%d %s for %d requests: %v", calls[name], name, requests, calls)
			}
		}
	})
}

// checkTransfers checks that each request cost one call to receive and one to
// send; a few calls may come from elsewhere.
func checkTransfers(t *testing.T, v variant, calls map[string]int, requests, few int) {
	t.Helper()
	receive, most := "recvfrom", requests
	if r, ok := receives[v.Model]; ok {
		receive, most = r.call, requests*r.aRequest
	}
	if calls[receive] < requests {
		t.Errorf("%d %s for %d requests: %v", calls[receive], receive, requests, calls)
	}
	// To try each connection in turn, whether or not something came, is what spin is.
	if v.Model != "spin" && calls[receive] > most+few {
		t.Errorf("%d %s for %d requests, at most %d were expected: %v", calls[receive], receive, requests, most+few,
			calls)
	}
	if calls["sendto"] < requests || calls["sendto"] > requests+few {
		t.Errorf("%d sendto for %d requests, at most %d more were expected: %v", calls["sendto"], requests, few, calls)
	}
}
