package attacks

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

// dripping sends begin and then drips.
func (a *attacker) dripping(begin, drop string) {
	if w := a.dial(); w != nil {
		defer w.end()
		if w.say(begin) {
			w.drip(drop, slow)
		}
	}
}

func slowRead(target string) func(*attacker) {
	return func(a *attacker) {
		w := a.dialSlow()
		if w == nil {
			return
		}
		defer w.end()
		w.say(get(target, ""))
		for one := make([]byte, 1); a.sleep(slow); {
			if _, err := w.Read(one); err != nil {
				return
			}
		}
	}
}

// pipelineUnread sends until the server takes no more.
func pipelineUnread(a *attacker) {
	w := a.dialSlow()
	if w == nil {
		return
	}
	defer w.end()
	many := strings.Repeat(get("/small", ""), 64) // answers of at most 4 KiB are copied, and held
	for range 50 {
		_ = w.SetWriteDeadline(time.Now().Add(slow))
		if !w.say(many) {
			break
		}
	}
	for one := make([]byte, 1); a.sleep(5 * slow); { // it is seen whether the server has closed
		if _, err := w.Read(one); err != nil {
			return
		}
	}
}

func halfClosed(a *attacker) {
	text := pick("", "GET /sm", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", get("/small", ""))
	if w := a.dial(); w != nil {
		defer w.end()
		w.say(text)
		_ = w.CloseWrite()
		w.answer("GET", 200, 400, 405)
	}
}

func resets(a *attacker) {
	text := pick("", "G", "GET /small HTTP/1.1\r\nHost:", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
		get("/huge", ""), get("/big/", ""), get("/private/secret", password()), strings.Repeat(get("/medium", ""), 50))
	if w := a.dial(); w != nil {
		w.say(text)
		a.sleep(time.Duration(rand.IntN(3)) * ms)
		w.stop()
		w.reset()
	}
}

// churn opens connections and keeps them idle, more than the server admits, then closes them one by one for new ones,
// more slowly.
func churn(a *attacker) {
	const atOnce, ramp, pace = 10, 40 * ms, 400 * ms
	held := make([]*wire, a.server.descriptors/churners)
	defer func() {
		for _, w := range held {
			if w != nil {
				w.end()
			}
		}
	}()
	pause := ramp
	for i := 0; a.ctx.Err() == nil; i++ {
		if i == len(held) {
			i, pause = 0, pace
		}
		if held[i] != nil {
			held[i].end()
		}
		if held[i] = a.dial(); held[i] != nil {
			held[i].say(get("/small", "")) // the answer fits into the window
		}
		if i%atOnce == 0 {
			a.sleep(pause)
		}
	}
}

func oneByte(a *attacker) {
	w := a.dial()
	if w == nil {
		return
	}
	defer w.end()
	for _, b := range []byte(get("/small", "")) {
		if !w.say(string(rune(b))) || !a.sleep(ms) {
			return
		}
	}
	w.answer("GET", 200, 408) // on a busy machine it takes longer than a head may
}

func urgent(a *attacker) {
	w := a.dial()
	if w == nil {
		return
	}
	defer w.end()
	raw, err := w.SyscallConn()
	if err != nil {
		return
	}
	request := get("/small", "")
	cut := rand.IntN(len(request))
	for _, part := range []string{request[:cut], request[cut:], request} {
		w.say(part)
		_ = raw.Write(func(fd uintptr) bool {
			return syscall.Sendto(int(fd), []byte("!"), syscall.MSG_OOB|syscall.MSG_NOSIGNAL, nil) != syscall.EAGAIN
		})
	}
	_ = w.CloseWrite()
	for w.answer("GET", 200, 400, 404, 501) { // a second urgent byte makes data of the first
	}
}

func garbage() string {
	random := make([]byte, 64)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	random[0] |= 0x80 // no token begins so
	return pick("GET /small\r\n", "GET /small\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+string(random)+"\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", string(random)+"\r\n\r\n", "\x00\x00\x00\x00\r\n\r\n")
}

// proxyV2 is a header of version 2 that says it has so many bytes of addresses, and has these.
func proxyV2(command byte, length int, rest string) string {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n")
	b = append(b, command, 0x11)
	return string(binary.BigEndian.AppendUint16(b, uint16(length))) + rest
}

func proxyHeader() string {
	return pick("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY UNKNOWN\r\n",
		proxyV2(0x21, 12, "\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02")) + get("/small", "")
}

// proxyGarbage comes from a trusted proxy: without a valid header there is no answer but a refusal.
func proxyGarbage(a *attacker) {
	w := a.dial(proxiesNet)
	if w == nil {
		return
	}
	defer w.end()
	switch rand.IntN(4) {
	case 0: // half a header
		w.say(pick("PROXY TCP4 192.0.2.", proxyV2(0x21, 12, "\xc0\x00"),
			proxyV2(0x21, 65535, strings.Repeat("x", 500))))
		w.hold()
	case 1: // too long
		w.say("PROXY TCP4 " + strings.Repeat("1", 1000))
		w.answer("GET", 400)
	case 2: // another one
		x := strings.Repeat("x", 12)
		w.say(pick(get("/small", ""), proxyV2(0x2f, 12, x), proxyV2(0x31, 12, x),
			"PROXY TCP4 999.0.2.1 192.0.2.2 1 2\r\n") + get("/small", ""))
		w.answer("GET", 400)
	default: // TLVs up to the most
		w.say(proxyV2(0x21, 65535, strings.Repeat("\xc0", 65535)) + get("/small", ""))
		w.answer("GET", 200, 400)
	}
}

// endless sends a chunked body, begin and then more without end, until the server refuses it.
func endless(begin, more string, want ...int) func(*attacker) {
	return func(a *attacker) {
		w := a.dial()
		if w == nil {
			return
		}
		defer w.end()
		w.say("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + begin)
		piece := strings.Repeat(more, max(1, 4096/len(more)))
		for range 1000 { // 4 MiB: it must be refused long before
			if !w.say(piece) {
				break
			}
			_ = w.SetReadDeadline(time.Now().Add(ms))
			if one, err := w.reader().Peek(1); len(one) > 0 || err != nil && !timedOut(err) {
				break
			}
		}
		_ = w.SetReadDeadline(time.Now().Add(5 * time.Second))
		if w.answer("POST", append(want, 408)...) { // on a busy machine it takes longer than a body may
			a.fail("the connection goes on behind a body without end")
		}
	}
}

func timedOut(err error) bool {
	var e interface{ Timeout() bool }
	return errors.As(err, &e) && e.Timeout()
}

// smuggle sends a request about whose body two readers could disagree, with one hidden behind it: one refusal, then
// the end.
func smuggle(a *attacker) {
	const hidden = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n"
	fields, body := "", "0\r\n\r\n"
	switch rand.IntN(6) {
	case 0:
		fields = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
	case 1:
		fields = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"
	case 2:
		fields, body = "Content-Length: 0\r\nContent-Length: 33\r\n", ""
	case 3:
		fields = "Transfer-Encoding:\x0bchunked\r\n"
	case 4:
		fields, body = "Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"
	default:
		fields, body = "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"
	}
	if w := a.dial(); w != nil {
		defer w.end()
		w.say("POST /small HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body + hidden)
		if w.answer("POST", 400) || w.answer("GET") {
			a.fail("the connection goes on behind %q", fields)
		}
	}
}

func expectation() string {
	return pick("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
		get("/small", "Expect: the-unexpected\r\n"), get("/small", "Expect: 100-continue\r\n"))
}

func password() string {
	user := fmt.Sprintf("%s:%x", pick("alice", "bob"), rand.Uint64())
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user)) + "\r\n"
}

// forgeForwarded asks more often than one address may, and claims to be another one each time.
func forgeForwarded(a *attacker) {
	a.next.Store(0) // always the same address
	w := a.dial()
	if w == nil {
		return
	}
	defer w.end()
	var b strings.Builder
	for range rate * 3 / 2 {
		b.WriteString(get("/small", "X-Forwarded-For: "+address()+"\r\n"))
	}
	for w.say(b.String()) {
		for range rate * 3 / 2 {
			if !w.answer("GET", 200) {
				return
			}
		}
		a.sleep(a.every)
	}
}

// limited: the rate was kept.
func limited(answered map[int]int) error {
	if answered[429] == 0 {
		return fmt.Errorf("no 429 among %v", answered)
	}
	return nil
}

func address() string {
	n := rand.Uint32()
	return fmt.Sprintf("%d.%d.%d.%d", n>>24|1, n>>16&255, n>>8&255, n&255)
}

func forwarded(a *attacker) {
	w := a.dial(trustedNet)
	if w == nil {
		return
	}
	defer w.end()
	for range 20 {
		if !w.say(get("/small", "X-Forwarded-For: "+address()+", "+address()+"\r\n")) || !w.answer("GET", 200) {
			return
		}
	}
}

func method() string {
	return pick("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n",
		"get / HTTP/1.1\r\nHost: a\r\n\r\n", strings.Repeat("M", 4000)+" / HTTP/1.1\r\nHost: a\r\n\r\n")
}

func deepPath() string {
	const length = 8000
	step := pick("%61/", "x/", "%2e%2e/", "../", "./", "//", "%2f", "deep/../", "%2564/", "%c0%af")
	return get("/"+strings.Repeat(step, length/len(step)), "")
}

func links() string {
	if rand.IntN(2) == 0 {
		return fmt.Sprintf("/link%d", rand.IntN(linksMax))
	}
	return "/" + strings.Repeat("self/", 1+rand.IntN(linksMax)) + "small"
}

func pipeline(a *attacker) {
	const atOnce = 64
	w := a.dial()
	if w == nil {
		return
	}
	defer w.end()
	for many := strings.Repeat(get("/small", ""), atOnce); w.say(many); a.sleep(a.every) {
		for range atOnce {
			if !w.answer("GET", 200) {
				return
			}
		}
	}
}

// control attacks the control plane, all from one address: it closes who is silent for those who come.
func control(a *attacker) {
	w := a.dialTo(a.server.admin, attackersNet, 0)
	if w == nil {
		return
	}
	defer w.end()
	switch rand.IntN(8) {
	case 0:
		w.say(get("/metrics", "Connection: close\r\n"))
	case 1:
		w.say(garbage())
	case 2:
		w.say("GET /status HTTP/1.1\r\nHost: localhost\r\n")
	}
	_ = w.SetReadDeadline(time.Now().Add(5 * slow))
	w.hold()
}
