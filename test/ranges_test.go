package test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

// TestMultipartRanges: several ranges in one answer (RFC 9110 section 14.6), of a
// file in memory and of one that is sent from its descriptor, with parts larger than a turn.
func TestMultipartRanges(t *testing.T) {
	root := t.TempDir()
	files := map[string][]byte{"/memory.html": pattern(40_000, 1), "/file.html": pattern(4<<20, 2)}
	for name, body := range files {
		write(t, root, name[1:], body)
	}
	var many, most strings.Builder
	for i := range 16 {
		fmt.Fprintf(&many, "%d-%d,", 38_000-2400*i, 38_000-2400*i+1999)
	}
	for i := range 256 {
		fmt.Fprintf(&most, "%d-%d,", 150*i, 150*i+4)
	}
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v, root)
		idle := s.warm(t, "/memory.html", "/file.html")
		for name, whole := range files {
			for _, c := range []struct {
				value string
				parts int
			}{
				{"1-2,0-0", 1}, // they touch
				{"10-20,0-0", 2},
				{"-100,0-99,300-30000", 3},
				{many.String(), 16},
				{most.String(), 256},
				{fmt.Sprintf("0-%d,%d-", len(whole)/3, len(whole)/2), 2},
			} {
				got := s.get(t, name, "Range: bytes="+c.value)
				if got.status != 206 {
					t.Errorf("%s %s: %d", name, c.value, got.status)
				} else if n := checkParts(t, got, whole); n != c.parts {
					t.Errorf("%s %s: %d parts, want %d", name, c.value, n, c.parts)
				}
			}
			for _, value := range []string{
				strings.Repeat("0-,", 10_000) + "0-", // overlapping, by the thousand
				most.String() + "1-2",                // one too many
				fmt.Sprintf("0-%d,%d-", len(whole)/2, len(whole)/2),
				"0-5,9-8", "0-5,a", "0-5;1-2", "0-5,-",
			} {
				if got := s.get(t, name, "Range: bytes="+value); got.status != 200 || !bytes.Equal(got.body, whole) {
					t.Errorf("%s %.40s: %d with %d bytes, want the whole file", name, value, got.status, len(got.body))
				}
			}
			beyond := s.get(t, name, "Range: bytes=9999999-,8888888-9999999,-0")
			if want := fmt.Sprintf("bytes */%d", len(whole)); beyond.status != 416 ||
				beyond.header.Get("Content-Range") != want {
				t.Errorf("%s: %d %v, want 416 with %s", name, beyond.status, beyond.header, want)
			}
		}
		checkPipelinedParts(t, s, files["/memory.html"], many.String())
		s.waitDescriptors(t, idle)
	})
}

// checkPipelinedParts asks for more parts at once than a connection queues.
func checkPipelinedParts(t *testing.T, s *server, whole []byte, value string) {
	t.Helper()
	const n = 12
	c := s.dial(t)
	defer c.Close()
	if _, err := io.WriteString(c, strings.Repeat(request("/memory.html", "Range: bytes="+value), n)); err != nil {
		t.Fatal(err)
	}
	w := newWire(c)
	for i := range n {
		got, err := w.next("GET")
		if err != nil || got.status != 206 {
			t.Fatalf("answer %d: %d, %v", i, got.status, err)
		}
		if parts := checkParts(t, got, whole); parts != 16 {
			t.Errorf("answer %d has %d parts", i, parts)
		}
	}
}

// checkParts holds each part of a multipart answer to its Content-Range and counts them.
func checkParts(t *testing.T, a answer, whole []byte) (count int) {
	t.Helper()
	if a.header.Get("Content-Type") == "text/html; charset=utf-8" { // one part alone
		var first, last, size int
		if _, err := fmt.Sscanf(a.header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil ||
			size != len(whole) || !bytes.Equal(a.body, whole[first:last+1]) {
			t.Errorf("not the range it says: %v, %v", a.header, err)
		}
		return 1
	}
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" || a.length != int64(len(a.body)) {
		t.Fatalf("%v, %v", a.header, err)
	}
	in := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for {
		part, err := in.NextRawPart()
		if err == io.EOF {
			return count
		}
		if err != nil {
			t.Fatal(err)
		}
		count++
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		var first, last, size int
		if _, err := fmt.Sscanf(part.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil ||
			size != len(whole) || !bytes.Equal(body, whole[first:last+1]) ||
			part.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("part %d is not the range it says: %v, %v", count, part.Header, err)
		}
	}
}
