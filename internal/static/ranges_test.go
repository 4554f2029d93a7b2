package static

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

// parts reads a multipart/byteranges and checks that every part is what its Content-Range says.
func parts(t *testing.T, r response, whole, mediaType string) (spans []string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.StatusCode != 206 || kind != "multipart/byteranges" || r.Header.Get("Content-Range") != "" {
		t.Fatalf("%d %v %v", r.StatusCode, r.Header, err)
	}
	if !strings.HasPrefix(r.body, "\r\n--"+params["boundary"]+"\r\n") { // zsync needs the line break in front
		t.Errorf("it begins with %q", r.body[:min(len(r.body), 80)])
	}
	if !strings.HasSuffix(r.body, "\r\n--"+params["boundary"]+"--\r\n") || r.ContentLength != int64(len(r.body)) {
		t.Errorf("it ends with %q", r.body[max(len(r.body)-80, 0):])
	}
	in := multipart.NewReader(strings.NewReader(r.body), params["boundary"])
	for {
		part, err := in.NextRawPart()
		if err == io.EOF {
			return spans
		}
		if err != nil {
			t.Fatalf("%v in %.200q", err, r.body)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		var first, last, size int
		span := part.Header.Get("Content-Range")
		if _, err := fmt.Sscanf(span, "bytes %d-%d/%d", &first, &last, &size); err != nil {
			t.Fatalf("Content-Range %q: %v", span, err)
		}
		if size != len(whole) || string(body) != whole[first:last+1] || part.Header.Get("Content-Type") != mediaType ||
			len(part.Header) != 2 {
			t.Errorf("%q of %d bytes: %v %.40q", span, len(whole), part.Header, body)
		}
		spans = append(spans, fmt.Sprintf("%d-%d", first, last))
	}
}

// TestMultipartRanges is RFC 9110 section 14.6, from memory and from a descriptor.
func TestMultipartRanges(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"/memory.html": strings.Repeat("0123456789", 4000),
		"/file.html":   strings.Repeat("0123456789", 50000),
	}
	for name, body := range files {
		write(t, dir+name, body)
	}
	l := serve(t, testOptions(dir), false)
	var most, zchunk []string
	for i := range 256 {
		most = append(most, fmt.Sprintf("%d-%d", 39000-150*i, 39009-150*i))
		zchunk = append(zchunk, fmt.Sprintf("%d-%d", 100+150*i, 109+150*i))
	}
	zchunk = zchunk[:255]
	for name, whole := range files {
		for _, c := range []struct{ value, want string }{
			{"0-0,2-2", "0-0 2-2"},
			{"100-199,0-9", "100-199 0-9"}, // in the order asked
			{"-5,0-4", fmt.Sprintf("%d-%d 0-4", len(whole)-5, len(whole)-1)},
			{"0-9,5-14,100-109", "0-14 100-109"},
			{"0-9,10-19,100-109", "0-19 100-109"},
			{"0-0,9999999-,2-2", "0-0 2-2"},
			{"0-8191,10000-19999,20001-20001", "0-8191 10000-19999 20001-20001"},
			{strings.Join(most, ","), strings.Join(most, " ")},
			{strings.Join(zchunk, ","), strings.Join(zchunk, " ")},
		} {
			r := l.request("GET", name, "Range: bytes="+c.value+"\r\n")
			if got := strings.Join(parts(t, r, whole, "text/html; charset=utf-8"), " "); got != c.want {
				t.Errorf("%s %s: got %s, want %s", name, c.value, got, c.want)
			}
			etag := l.get(name).Header.Get("ETag")
			if r.Header.Get("ETag") != etag || r.Header.Get("Accept-Ranges") != "bytes" ||
				r.Header.Get("Last-Modified") == "" {
				t.Errorf("%s: %v", name, r.Header)
			}
			head := l.request("HEAD", name, "Range: bytes="+c.value+"\r\n")
			if head.StatusCode != 200 || head.ContentLength != int64(len(whole)) {
				t.Errorf("HEAD %s: %d, %d bytes", name, head.StatusCode, head.ContentLength)
			}
			l.request("GET", name, "If-Range: "+etag+"\r\nRange: bytes="+c.value+"\r\n").wantStatus(t, 206)
			l.request("GET", name, "If-Range: W/"+etag+"\r\nRange: bytes="+c.value+"\r\n").wantStatus(t, 200)
		}
	}
	first := l.request("GET", "/memory.html", "Range: bytes=0-0,2-2\r\n").Header.Get("Content-Type")
	if again := l.request("GET", "/memory.html",
		"Range: bytes=0-0,2-2\r\n").Header.Get("Content-Type"); again == first {
		t.Errorf("the same boundary twice: %s", first)
	}
}

// TestRangesLimit: one more than Options.Ranges and the whole file is the answer.
func TestRangesLimit(t *testing.T) {
	dir := t.TempDir()
	whole := strings.Repeat("0123456789", 1000)
	write(t, dir+"/a", whole)
	opts := testOptions(dir)
	opts.Ranges = 2
	l := serve(t, opts, false)
	l.request("GET", "/a", "Range: bytes=0-0,2-2\r\n").wantStatus(t, 206)
	l.request("GET", "/a", "Range: bytes=0-0,2-2,4-4\r\n").want(t, 200, whole)
}

// TestPipelinedRanges: many such answers at once, more than the queue takes.
func TestPipelinedRanges(t *testing.T) {
	dir := t.TempDir()
	whole := strings.Repeat("0123456789", 6000)
	write(t, dir+"/a.html", whole)
	l := serve(t, testOptions(dir), false)
	var value strings.Builder
	for i := range 16 {
		fmt.Fprintf(&value, "%d-%d,", 3700*i, 3700*i+3000)
	}
	const n = 20
	raw := l.send(strings.Repeat("GET /a.html HTTP/1.1\r\nHost: a\r\nRange: bytes="+value.String()+"\r\n\r\n", n))
	one := l.send("GET /a.html HTTP/1.1\r\nHost: a\r\nRange: bytes=" + value.String() + "\r\n\r\n")
	if len(raw) != n*len(one) || strings.Count(raw, "HTTP/1.1 206 ") != n {
		t.Errorf("%d bytes, %d answers; want %d times %d", len(raw), strings.Count(raw, "HTTP/1.1 206 "), n, len(one))
	}
}
