package conn

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// exchange is a request as a peer may send it, and the answer by the book.
type exchange struct {
	send, want string
	last       bool
}

// book is the naive reference: what one request must get, written out whole.
func book(method, target, version, connection, body string, log *[]string) exchange {
	status, fields, content := "200 OK", "", method+" "+target
	switch kind, arg, _ := strings.Cut(target[1:], "/"); kind {
	case "shared":
		var n int
		if _, err := fmt.Sscan(arg, &n); err != nil {
			panic(err)
		}
		content = pattern(n)
	case "file":
		content = fileContent
	case "parts":
		content = "one:" + fileContent[1000:1100] + "two:" + fileContent[5000:5200]
	case "source":
		content = "abc" + pattern(40<<10) + "end"
	case "defer":
		content = "deferred"
	case "fail":
		status, content = "404 Not Found", "404: no such thing\n"
		fields = "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
	}
	expects := len(body) > 0 && len(body)%4 == 0
	last := connection == "close" || version == "1.0" && connection != "keep-alive" || target == "/close" ||
		expects && version == "1.1"
	if target == "/close" {
		content = "bye"
	}
	fields += fmt.Sprintf("Content-Length: %d\r\n", len(content))
	if target == "/fail" {
		fields += "X-Why: test\r\n"
	}
	fields += "Server: test\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	switch {
	case last:
		fields += "Connection: close\r\n"
	case version == "1.0":
		fields += "Connection: keep-alive\r\n"
	}
	if method == "HEAD" {
		content = ""
	}
	*log = append(*log, fmt.Sprintf("%s %s %d", target, status[:3], len(content)))
	var sent []string
	if connection != "" {
		sent = append(sent, "Connection: "+connection)
	}
	switch {
	case body == "":
	case version == "1.1" && len(body)%2 == 1:
		sent = append(sent, chunked)
		body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	default:
		sent = append(sent, fmt.Sprintf("Content-Length: %d", len(body)))
		if expects {
			sent = append(sent, "Expect: 100-continue")
		}
	}
	return exchange{
		request(method, target, version, body, sent...),
		"HTTP/1.1 " + status + "\r\n" + fields + "\r\n" + content,
		last,
	}
}

// Any stream of requests, however it is cut, over a transport that does as it
// likes, under any turn and output limit, is answered as the reference does.
func TestAnyStreamOverAnyTransport(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		target := rapid.SampledFrom(
			[]string{"/a", "/shared/10", "/shared/5000", "/shared/70000", "/file", "/parts", "/source", "/fail",
				"/close"},
		)
		var input, want strings.Builder
		var lines []string
		deferred, closed := false, false
		for range rapid.IntRange(1, 30).Draw(rt, "requests") {
			to := target.Draw(rt, "target")
			if to == "/a" && !deferred && rapid.Bool().Draw(rt, "deferred") {
				deferred, to = true, "/defer/2" // once: the rig counts its results
			}
			var ignored []string
			log := &lines
			if closed {
				log = &ignored
			}
			e := book(rapid.SampledFrom([]string{"GET", "GET", "GET", "HEAD", "POST"}).Draw(rt, "method"), to,
				rapid.SampledFrom([]string{"1.1", "1.1", "1.1", "1.0"}).Draw(rt, "version"),
				rapid.SampledFrom([]string{"", "", "", "", "keep-alive", "keep-alive", "close"}).Draw(rt, "connection"),
				strings.Repeat("b", rapid.SampledFrom([]int{0, 0, 0, 1, 8, 999, 5000}).Draw(rt, "body")), log)
			input.WriteString(e.send)
			if !closed {
				want.WriteString(e.want)
			}
			closed = closed || e.last
		}
		cfg := testConfig()
		cfg.TurnRequests = rapid.SampledFrom([]int{0, 1, 3, 64}).Draw(rt, "turn requests")
		cfg.TurnBytes = rapid.SampledFrom([]int64{0, 900, 30000, 256 << 10}).Draw(rt, "turn bytes")
		cfg.Output = rapid.SampledFrom([]int{0, 1, 3000, 256 << 10}).Draw(rt, "output")
		r := newRig(t, cfg)
		defer r.release()
		r.start(newScript(t, cut(rt, input.String())...))
		r.t.cold = map[int64]bool{0: rapid.Bool().Draw(rt, "cold"), fileTurn: rapid.Bool().Draw(rt, "cold later")}
		faults := rapid.SliceOfN(rapid.SampledFrom([]fault{noFault, noFault, short, again}), 1, 40).Draw(rt, "faults")
		faults = append(faults, noFault) // so that it ends
		r.t.fault = func(call int) fault { return faults[call%len(faults)] }
		r.run()
		if got := r.seen(); got != want.String() {
			rt.Fatalf("got %d bytes, want %d: they differ at %d", len(got), want.Len(), differ(got, want.String()))
		}
		r.release()
		if !slices.Equal(r.log.lines, lines) {
			rt.Fatalf("logged %q, want %q", r.log.lines, lines)
		}
	})
}

// cut cuts s into parts at random.
func cut(rt *rapid.T, s string) (parts []string) {
	at := rapid.SliceOfN(rapid.IntRange(0, len(s)), 0, 10).Draw(rt, "cuts")
	slices.Sort(at)
	from := 0
	for _, to := range append(at, len(s)) {
		parts = append(parts, s[from:to])
		from = to
	}
	return parts
}

// differ is the first offset at which two strings differ.
func differ(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
