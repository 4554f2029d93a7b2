package http1

import (
	"strings"
	"testing"
)

// wrkHead is what wrk sends.
const wrkHead = "GET /1k.html HTTP/1.1\r\nHost: 127.0.0.1:19110\r\n\r\n"

// browserHead is what Chromium sends for a page that it has in its cache.
var browserHead = strings.Join([]string{
	"GET /docs/index.html?lang=en HTTP/1.1",
	"Host: files.example.org:8080",
	"Connection: keep-alive",
	"Cache-Control: max-age=0",
	`sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"`,
	"sec-ch-ua-mobile: ?0",
	`sec-ch-ua-platform: "Linux"`,
	"Upgrade-Insecure-Requests: 1",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Sec-Fetch-Site: none",
	"Sec-Fetch-Mode: navigate",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8",
	`If-None-Match: "66f1a2b3-1c2d"`,
	"If-Modified-Since: Mon, 23 Sep 2024 17:02:11 GMT",
}, "\r\n") + "\r\n\r\n"

var testLimits = Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10}

func benchmarkParse(b *testing.B, head string) {
	buf := []byte(head)
	var req Request
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if Parse(buf, 0, &testLimits, &req) != Complete {
			b.Fatal(req.Err.Error())
		}
	}
}

func BenchmarkParseWrk(b *testing.B)     { benchmarkParse(b, wrkHead) }
func BenchmarkParseBrowser(b *testing.B) { benchmarkParse(b, browserHead) }

func BenchmarkAppendDate(b *testing.B) {
	var buf [64]byte
	b.ReportAllocs()
	for b.Loop() {
		AppendDate(buf[:0], 784111777)
	}
}

func BenchmarkAppendPath(b *testing.B) {
	var buf [256]byte
	encoded := []byte("/assets/2024/images/logo%20large.png")
	b.ReportAllocs()
	for b.Loop() {
		AppendPath(buf[:0], encoded)
	}
}
