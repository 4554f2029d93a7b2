package http1_test

import (
	"fmt"

	"github.com/evhttpd/evhttpd/http1"
)

// A head that arrives in two pieces: Parse says Partial until it has all of it.
func ExampleParse() {
	limits := http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100}
	var req http1.Request
	buf := []byte("GET /index.html HTTP/1.1\r\nHost: exam")
	seen := 0
	for http1.Parse(buf, seen, &limits, &req) == http1.Partial {
		seen = len(buf)
		buf = append(buf, "ple.org\r\nAccept: */*\r\n\r\n"...)
	}
	fmt.Printf("%s, host %s, %d bytes of head\n", req.Target.In(buf), req.Get(http1.FieldHost, buf), req.HeadLen)
	// Output: /index.html, host example.org, 60 bytes of head
}

// A head that two servers could read differently is refused, with the rule that it breaks.
func ExampleParse_invalid() {
	limits := http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100}
	var req http1.Request
	buf := []byte("GET / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
	if http1.Parse(buf, 0, &limits, &req) == http1.Invalid {
		fmt.Println(req.Err.Error())
	}
	// Output: 400: second Content-Length at byte 54 (RFC 9112 section 6.3)
}
