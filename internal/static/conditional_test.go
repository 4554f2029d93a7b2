package static

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestPreconditions is RFC 9110 section 13.2.2, in its order.
func TestPreconditions(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/small", "0123456789")
	write(t, dir+"/large", strings.Repeat("0123456789", 10000))
	l := serve(t, testOptions(dir), false)
	const (
		before = "Thu, 29 Feb 2024 12:30:14 GMT"
		at     = "Thu, 29 Feb 2024 12:30:15 GMT"
		after  = "Thu, 29 Feb 2024 12:30:16 GMT"
		part   = "Range: bytes=2-4\r\n"
	)
	for _, path := range []string{"/small", "/large"} {
		whole := l.get(path)
		etag := whole.Header.Get("ETag")
		cases := []struct {
			fields string
			status int
		}{
			{"If-Match: *\r\n", 200},
			{"If-Match: " + etag + "\r\n", 200},
			{"If-Match: \"a\", " + etag + "\r\n", 200},
			{"If-Match: \"a\"\r\nIf-Match: " + etag + "\r\n", 200},
			{"If-Match: \"a\"\r\nIf-Match: *\r\n", 412}, // one list, in which * is no tag: section 5.3
			{"If-Match: *\r\nIf-Match: *\r\n", 412},
			{"If-Match: \"a\r\nIf-Match: " + etag + "\r\n", 412}, // not valid as a whole
			{"If-None-Match: \"a\"\r\nIf-None-Match: *\r\n", 200},
			{"If-None-Match: \"a\"\r\nIf-None-Match: " + etag + "\r\n", 304},
			{"If-None-Match: " + etag + "\r\nIf-None-Match: a\r\n", 200},
			{"If-Match: \"a\"\r\n", 412},
			{"If-Match: W/" + etag + "\r\n", 412}, // strong comparison, section 13.1.1
			{"If-Match: \"a\"\r\nIf-None-Match: " + etag + "\r\n", 412},
			{"If-Match: " + etag + "\r\nIf-Unmodified-Since: " + before + "\r\n", 200},
			{"If-Match: " + etag + "\r\nIf-None-Match: " + etag + "\r\n", 304},
			{"If-Unmodified-Since: " + before + "\r\n", 412},
			{"If-Unmodified-Since: " + at + "\r\n", 200},
			{"If-Unmodified-Since: " + after + "\r\n", 200},
			{"If-Unmodified-Since: yesterday\r\n", 200},
			{"If-None-Match: *\r\n", 304},
			{"If-None-Match: " + etag + "\r\n", 304},
			{"If-None-Match: W/" + etag + "\r\n", 304}, // weak comparison, section 13.1.2
			{"If-None-Match: \"a\", \"b\" , " + etag + "\r\n", 304},
			{"If-None-Match: \"a\"\r\n", 200},
			{"If-None-Match: \"a\"\r\nIf-Modified-Since: " + after + "\r\n", 200}, // the date is ignored
			{"If-Modified-Since: " + before + "\r\n", 200},
			{"If-Modified-Since: " + at + "\r\n", 304},
			{"If-Modified-Since: " + after + "\r\n", 304},
			{"If-Modified-Since: Thursday, 29-Feb-24 12:30:15 GMT\r\n", 304},
			{"If-Modified-Since: Thu Feb 29 12:30:15 2024\r\n", 304},
			{"If-Modified-Since: 2024-02-29\r\n", 200},
			{part, 206},
			{part + "If-Range: " + etag + "\r\n", 206},
			{part + "If-Range: W/" + etag + "\r\n", 200}, // strong comparison, section 13.1.5
			{part + "If-Range: \"a\"\r\n", 200},
			{part + "If-Range: " + at + "\r\n", 206},
			{part + "If-Range: " + after + "\r\n", 200}, // exactly the date
			{part + "If-Range: " + before + "\r\n", 200},
			{part + "If-Range: nonsense\r\n", 200},
			{part + "If-None-Match: " + etag + "\r\n", 304},
			{part + "If-Match: \"a\"\r\n", 412},
			{part + "If-Match: " + etag + "\r\n", 206},
			{"If-Range: " + etag + "\r\n", 200},
			// What is no list and stands twice is not valid: ignored, or not what the client has a part of.
			{"If-Modified-Since: " + at + "\r\nIf-Modified-Since: " + at + "\r\n", 200}, // section 13.1.3
			{"If-Modified-Since: " + at + ", " + at + "\r\n", 200},
			{"If-Unmodified-Since: " + before + "\r\nIf-Unmodified-Since: " + before + "\r\n", 200}, // section 13.1.4
			{part + "If-Range: " + etag + "\r\nIf-Range: " + etag + "\r\n", 200},                    // section 13.1.5
			{part + "If-Range: " + at + "\r\nIf-Range: " + at + "\r\n", 200},
			{part + part, 200}, // section 14.2
		}
		for _, c := range cases {
			for _, method := range []string{"GET", "HEAD"} {
				r := l.request(method, path, c.fields)
				want := c.status
				if want == 206 && method == "HEAD" {
					want = 200 // section 14.2: ranges are for GET
				}
				if r.StatusCode != want {
					t.Errorf("%s %s %q: %d, want %d", method, path, c.fields, r.StatusCode, want)
				}
				if want == 304 {
					checkNotModified(t, r, whole)
				}
				if want == 206 && (r.body != "234" ||
					r.Header.Get("Content-Type") != whole.Header.Get("Content-Type")) {
					t.Errorf("206 with %q %q", r.body, r.Header)
				}
			}
		}
	}
}

// TestAListOnSeveralLines has each list that an answer depends on sent on one line and an element a line:
// that makes no difference (RFC 9110 section 5.3).
func TestAListOnSeveralLines(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file.txt", "0123456789")
	write(t, dir+"/file.txt.gz", "coded")
	write(t, dir+"/file.txt.br", "otherwise coded")
	write(t, dir+"/folder/name", "")
	opts := testOptions(dir)
	opts.Listing, opts.Precompressed = true, []string{"br", "gz"}
	l := serve(t, opts, false)
	etag := l.get("/file.txt").Header.Get("ETag")
	for _, c := range []struct {
		path, field string
		elements    []string
	}{
		{"/file.txt", "If-Match", []string{`"a"`, "*"}},
		{"/file.txt", "If-Match", []string{`"a"`, etag, `"b"`}},
		{"/file.txt", "If-Match", []string{`"a"`, "", `"b"`}},
		{"/file.txt", "If-None-Match", []string{"*", `"a"`}},
		{"/file.txt", "If-None-Match", []string{`"a"`, "", "W/" + etag}},
		{"/file.txt", "If-None-Match", []string{etag, "junk"}},
		{"/file.txt", "If-None-Match", []string{`"a`, etag, `b"`}},
		{"/file.txt", "Accept-Encoding", []string{"gzip;q=0.5", "br;q=0.9"}},
		{"/file.txt", "Accept-Encoding", []string{"", "gzip", "gzip;q=0", "*;q=0"}},
		{"/folder/", "Accept", []string{"text/plain;q=0.5", "application/json", "text/html;q=0"}},
		{"/folder/", "Accept", []string{`text/plain;x="a`, `application/json"`, "text/html;q=0.1"}},
	} {
		one := l.request("GET", c.path, c.field+": "+strings.Join(c.elements, ", ")+"\r\n")
		lines := l.request("GET", c.path, c.field+": "+strings.Join(c.elements, "\r\n"+c.field+": ")+"\r\n")
		if one.StatusCode != lines.StatusCode || one.body != lines.body ||
			one.Header.Get("Content-Type") != lines.Header.Get("Content-Type") {
			t.Errorf("%s: %q: on one line %d %q, on several %d %q", c.field, c.elements, one.StatusCode, one.body,
				lines.StatusCode, lines.body)
		}
	}
}

// checkNotModified: RFC 9110 section 15.4.5.
func checkNotModified(t *testing.T, r, whole response) {
	t.Helper()
	if r.Header.Get("ETag") != whole.Header.Get("ETag") ||
		r.Header.Get("Last-Modified") != whole.Header.Get("Last-Modified") {
		t.Errorf("304 without its validators: %v", r.Header)
	}
	if r.Header.Get("Content-Length") != "" || r.Header.Get("Content-Type") != "" || r.body != "" {
		t.Errorf("304 with a body's fields: %v %q", r.Header, r.body)
	}
}

// TestRanges is RFC 9110 section 14.
func TestRanges(t *testing.T) {
	dir := t.TempDir()
	large := strings.Repeat("0123456789", 10000)
	write(t, dir+"/small", "0123456789")
	write(t, dir+"/large", large)
	write(t, dir+"/empty", "")
	l := serve(t, testOptions(dir), false)
	cases := []struct {
		path, value string
		status      int
		body        string
		contentSpan string
	}{
		{"/small", "bytes=0-0", 206, "0", "bytes 0-0/10"},
		{"/small", "bytes=2-5", 206, "2345", "bytes 2-5/10"},
		{"/small", "bytes=7-", 206, "789", "bytes 7-9/10"},
		{"/small", "bytes=-3", 206, "789", "bytes 7-9/10"},
		{"/small", "bytes=-99", 206, "0123456789", "bytes 0-9/10"},
		{"/small", "bytes=5-99", 206, "56789", "bytes 5-9/10"},
		{"/small", "BYTES=1-1", 206, "1", "bytes 1-1/10"},
		{"/small", "bytes=0-0,99-", 206, "0", "bytes 0-0/10"}, // one of two is satisfiable
		{"/small", "bytes=10-", 416, "", "bytes */10"},
		{"/small", "bytes=99-100", 416, "", "bytes */10"},
		{"/small", "bytes=-0", 416, "", "bytes */10"},
		{"/small", "bytes=5-2", 200, "0123456789", ""},
		{"/small", "bytes=a-b", 200, "0123456789", ""},
		{"/small", "lines=1-2", 200, "0123456789", ""},
		{"/small", "bytes=0-0,2-2", 200, "0123456789", ""}, // the parts would be larger
		{"/small", "bytes=0-2,3-5", 206, "012345", "bytes 0-5/10"},
		{"/small", "bytes=5-9,0-4", 200, "0123456789", ""}, // all of it, in two
		{"/large", "bytes=0-9,5-14,12-19", 206, "01234567890123456789", "bytes 0-19/100000"},
		{"/large", "bytes=0-49999,50010-", 200, large, ""},
		{"/large", "bytes=" + strings.Repeat("0-99,", 256), 206, large[:100], "bytes 0-99/100000"},
		{"/large", "bytes=" + strings.Repeat("0-99,", 256) + "0-99", 200, large, ""},
		{"/small", "bytes=" + strings.Repeat("0-0,", 256) + "1-1", 200, "0123456789", ""},
		{"/small", "bytes=99999999999999999999-", 416, "", "bytes */10"},
		{"/large", "bytes=99990-", 206, "0123456789", "bytes 99990-99999/100000"},
		{"/large", "bytes=0-99999", 206, large, "bytes 0-99999/100000"},
		{"/large", "bytes=100000-", 416, "", "bytes */100000"},
		{"/empty", "bytes=0-", 200, "", ""},
		{"/empty", "bytes=5-9,0-", 200, "", ""},
		{"/empty", "bytes=5-9,20-", 416, "", "bytes */0"},
		{"/empty", "bytes=-1", 200, "", ""},
		{"/empty", "bytes=-0", 200, "", ""},
	}
	for _, c := range cases {
		r := l.request("GET", c.path, "Range: "+c.value+"\r\n")
		if r.StatusCode != c.status || c.status != 416 && r.body != c.body ||
			r.Header.Get("Content-Range") != c.contentSpan {
			t.Errorf("%s %s: %d %q %.40q", c.path, c.value, r.StatusCode, r.Header.Get("Content-Range"), r.body)
		}
	}
}

// TestHugeFile sends from beyond 4 GiB of a file with holes.
func TestHugeFile(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(dir + "/huge")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("end"), 5<<30); err != nil {
		t.Skip(err)
	}
	l := serve(t, testOptions(dir), false)
	r := l.request("GET", "/huge", fmt.Sprintf("Range: bytes=%d-\r\n", int64(5<<30)-2))
	r.want(t, 206, "\x00\x00end")
	r = l.request("HEAD", "/huge", "")
	if r.ContentLength != 5<<30+3 {
		t.Errorf("Content-Length %d", r.ContentLength)
	}
}

// TestValidators covers times at the edges of what can validate something (RFC 9110 section 8.8).
func TestValidators(t *testing.T) {
	dir := t.TempDir()
	future := time.Now().Add(1000 * time.Hour)
	for name, at := range map[string]time.Time{"first": time.Unix(validFrom, 0), "future": future} {
		write(t, dir+"/"+name, name)
		if err := os.Chtimes(dir+"/"+name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	l := serve(t, testOptions(dir), false)
	if r := l.get("/first"); r.Header.Get("ETag") != `"8c24d6667470000-5"` ||
		r.Header.Get("Last-Modified") != "Mon, 01 Jan 1990 00:00:00 GMT" {
		t.Errorf("first: %v", r.Header)
	}
	r := l.get("/future")
	if r.Header.Get("Last-Modified") != r.Header.Get("Date") {
		// Both are of the same second of the loop's clock.
		t.Errorf("Last-Modified %q is not the Date %q", r.Header.Get("Last-Modified"), r.Header.Get("Date"))
	}
	l.request("GET", "/future", "Range: bytes=0-1\r\nIf-Range: "+r.Header.Get("Last-Modified")+"\r\n").wantStatus(t,
		200)

	opts := testOptions(dir)
	opts.ETag = ETagOff
	if r := serve(t, opts, false).get("/first"); r.Header.Get("ETag") != "" || r.Header.Get("Last-Modified") == "" {
		t.Errorf("without etag: %v", r.Header)
	}
}

// TestETagContent: tags are of the bytes alone, so that replicas with other times
// agree, and files without a time have one (RFC 9110 section 8.8.3).
func TestETagContent(t *testing.T) {
	body := map[string]string{"/small": "0123456789", "/large": strings.Repeat("0123456789", 10000)}
	var tags []string
	for i, at := range []time.Time{longAgo, time.Unix(0, 0)} {
		dir := t.TempDir()
		for name, text := range body {
			write(t, dir+name, text)
			if err := os.Chtimes(dir+name, at, at); err != nil {
				t.Fatal(err)
			}
		}
		opts := testOptions(dir)
		opts.ETag = ETagContent
		l := serve(t, opts, false)
		for _, name := range []string{"/small", "/large"} {
			r := l.get(name)
			r.want(t, 200, body[name])
			tag := r.Header.Get("ETag")
			sum := sha256.Sum256([]byte(body[name]))
			if want := fmt.Sprintf("\"%x\"", sum[:16]); tag != want ||
				(r.Header.Get("Last-Modified") == "") != (i == 1) {
				t.Errorf("%s: %v, want ETag %s", name, r.Header, want)
			}
			tags = append(tags, tag)
			l.request("GET", name, "If-None-Match: "+tag+"\r\n").wantStatus(t, 304)
			l.request("GET", name, "If-Match: "+tag+"\r\nRange: bytes=1-2\r\nIf-Range: "+tag+"\r\n").want(t, 206, "12")
			l.request("GET", name, "If-Match: \"a\"\r\n").wantStatus(t, 412)
		}
		// Hashed off the loop, once for as long as the files stay.
		jobs := l.jobs
		for range 3 {
			l.advance(2 * time.Second)
			l.get("/small")
			l.get("/large")
		}
		if local := l.site.root.Load().local; jobs < 2 || local && l.jobs != jobs {
			t.Errorf("%d jobs at first, then %d", jobs, l.jobs-jobs)
		}
		write(t, dir+"/small", "9876543210")
		l.advance(2 * time.Second)
		r := l.get("/small")
		if r.want(t, 200, "9876543210"); r.Header.Get("ETag") == tags[0] {
			t.Error("other bytes have the same tag")
		}
	}
	if tags[0] != tags[2] || tags[1] != tags[3] {
		t.Errorf("replicas do not agree: %q", tags)
	}
}

// TestETagContentUnsettled: a tag of bytes is strong however short ago they
// changed, unless it is of a file that may change before it is sent.
func TestETagContentUnsettled(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/small", "0123456789")
	write(t, dir+"/large", strings.Repeat("0123456789", 10000))
	huge := strings.Repeat("0", 10)
	write(t, dir+"/huge", huge)
	if err := os.Truncate(dir+"/huge", hashMax+1); err != nil {
		t.Skip(err)
	}
	opts := testOptions(dir)
	opts.ETag = ETagContent
	opts.Now = func() time.Time { return time.Now() }
	l := serve(t, opts, false)
	l.advance(-settled)
	if tag := l.get("/small").Header.Get("ETag"); strings.HasPrefix(tag, "W/") || len(tag) != 34 {
		t.Errorf("in memory: %s", tag)
	}
	if tag := l.get("/large").Header.Get("ETag"); !strings.HasPrefix(tag, "W/") {
		t.Errorf("by its descriptor: %s", tag)
	}
	opts.Now = testOptions(dir).Now
	l = serve(t, opts, false)
	r := l.request("HEAD", "/huge", "")
	if tag := r.Header.Get("ETag"); !strings.HasSuffix(tag, "-10000001\"") {
		t.Errorf("too large to be hashed: %v", r.Header)
	}
}
