package static

import (
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// decoded undoes the content coding of an answer.
func (r response) decoded(t *testing.T) string {
	t.Helper()
	var in io.Reader = strings.NewReader(r.body)
	var err error
	switch coding := r.Header.Get("Content-Encoding"); coding {
	case "":
	case "gzip":
		in, err = gzip.NewReader(in)
	case "zstd":
		in, err = zstd.NewReader(in, zstd.WithDecoderMaxWindow(8<<20))
	default:
		t.Fatalf("Content-Encoding %q", coding)
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func compressOptions(root string) Options {
	opts := precompressedOptions(root)
	opts.Compress = []string{"zstd", "gzip"}
	return opts
}

// TestCompress: on the fly, off the loop, once for as long as the file stays, never for ranges.
func TestCompress(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"/small.js": strings.Repeat("var a = 1;\n", 500),
		"/large.js": strings.Repeat("var b = 2;\n", 20_000)}
	for name, body := range files {
		write(t, dir+name, body)
	}
	for _, etag := range []ETag{ETagMtime, ETagContent, ETagOff} {
		opts := compressOptions(dir)
		opts.ETag = etag
		l := serve(t, opts, false)
		for name, body := range files {
			plain := l.get(name)
			plain.want(t, 200, body)
			jobs := l.jobs
			for accept, want := range map[string]string{"gzip, br, zstd": "zstd", "gzip, br": "gzip", "br": "",
				"zstd;q=0.5, gzip": "gzip", "*;q=0": ""} {
				fields := "Accept-Encoding: " + accept + "\r\n"
				r := l.request("GET", name, fields)
				h := r.Header
				if r.StatusCode != 200 || h.Get("Content-Encoding") != want || r.decoded(t) != body ||
					r.ContentLength != int64(len(r.body)) ||
					h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Type") != plain.Header.Get("Content-Type") {
					t.Errorf("%s %s: %d %v, want %q", name, accept, r.StatusCode, h, want)
				}
				if want == "" {
					continue
				}
				tag := h.Get("ETag")
				if strings.HasPrefix(tag, "W/") == (etag == ETagOff) || h.Get("Accept-Ranges") != "" {
					t.Errorf("%s %s: %v", name, accept, h)
				}
				if etag != ETagOff {
					l.request("GET", name, fields+"If-None-Match: "+tag+"\r\n").wantStatus(t, 304)
					l.request("GET", name, fields+"If-None-Match: "+plain.Header.Get("ETag")+"\r\n").wantStatus(t, 200)
				}
				part := l.request("GET", name, fields+"Range: bytes=4-9\r\n")
				if part.want(t, 206, body[4:10]); part.Header.Get("Content-Encoding") != "" ||
					part.Header.Get("Vary") == "" {
					t.Errorf("%s %s: %v", name, accept, part.Header)
				}
				l.request("GET", name, fields+"Range: bytes=4-9\r\nIf-Range: "+tag+"\r\n").want(t, 200, body)
				if head := l.request("HEAD", name,
					fields+"Range: bytes=4-9\r\n"); head.ContentLength != r.ContentLength {
					t.Errorf("%s: HEAD has %d bytes, GET %d", name, head.ContentLength, r.ContentLength)
				}
			}
			l.advance(2 * time.Second)
			l.request("GET", name, "Accept-Encoding: gzip\r\n").wantStatus(t, 200)
			if l.jobs != jobs && l.site.root.Load().local {
				t.Errorf("%s: compressed %d times more", name, l.jobs-jobs)
			}
		}
	}
}

// TestNotCompressed: what would not shrink, is too small or too large, has a precompressed file, or has just changed.
func TestNotCompressed(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat("text ", 1000)
	write(t, dir+"/tiny.txt", "tiny")
	write(t, dir+"/image.png", text)
	write(t, dir+"/sibling.txt", text)
	write(t, dir+"/sibling.txt.gz", "gz stored")
	write(t, dir+"/huge.txt", text)
	if err := os.Truncate(dir+"/huge.txt", compressMax+1); err != nil {
		t.Skip(err)
	}
	l := serve(t, compressOptions(dir), false)
	for _, name := range []string{"/tiny.txt", "/image.png", "/huge.txt"} {
		if r := l.request("GET", name, "Accept-Encoding: gzip\r\n"); r.StatusCode != 200 ||
			r.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
		}
	}
	l.request("GET", "/sibling.txt", "Accept-Encoding: gzip\r\n").want(t, 200, "gz stored")
	if r := l.request("GET", "/sibling.txt", "Accept-Encoding: zstd\r\n"); r.Header.Get("Content-Encoding") != "zstd" ||
		r.decoded(t) != text {
		t.Errorf("%v", r.Header)
	}

	write(t, dir+"/new.txt", text)
	opts := compressOptions(dir)
	opts.Now = func() time.Time { return time.Now() }
	l = serve(t, opts, false)
	l.advance(-settled)
	r := l.request("GET", "/new.txt", "Accept-Encoding: gzip\r\n")
	if r.want(t, 200, text); r.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v", r.Header)
	}

	opts.Compress = []string{"br"}
	if _, err := New(opts, NewCache(testLimits())); err == nil {
		t.Error("compress: br is taken")
	}
}

// TestCompressedChanges: with the file, and when a precompressed file of that coding comes and goes.
func TestCompressedChanges(t *testing.T) {
	dir := t.TempDir()
	one, two := strings.Repeat("one ", 1000), strings.Repeat("two ", 1000)
	write(t, dir+"/a.txt", one)
	l := serve(t, compressOptions(dir), false)
	get := func(want string) string {
		t.Helper()
		l.advance(time.Second)
		r := l.request("GET", "/a.txt", "Accept-Encoding: gzip\r\n")
		if r.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%d %v", r.StatusCode, r.Header)
		}
		if r.body != want && r.decoded(t) != want {
			t.Errorf("not %.20q", want)
		}
		return r.Header.Get("ETag")
	}
	first := get(one)
	write(t, dir+"/a.txt", two)
	if err := os.Chtimes(dir+"/a.txt", longAgo, longAgo.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if second := get(two); second == first {
		t.Errorf("both have ETag %s", first)
	}
	write(t, dir+"/a.txt.gz", "gz stored")
	get("gz stored")
	if err := os.Remove(dir + "/a.txt.gz"); err != nil {
		t.Fatal(err)
	}
	get(two)
}
