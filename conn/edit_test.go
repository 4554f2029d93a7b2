package conn

import (
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/testkit"
)

// headOf answers one request with a handler and returns the status line and the fields.
func headOf(t *testing.T, serve handlerFunc) string {
	t.Helper()
	cfg := testConfig()
	cfg.Server = ""
	r := newRig(t, cfg)
	r.l.Handler = serve
	r.start(newScript(t, get("/")))
	r.run()
	head, _, _ := strings.Cut(string(r.t.out), "\r\n\r\n")
	r.release()
	return head + "\r\n"
}

func TestEdit(t *testing.T) {
	const statusLine, head = "HTTP/1.1 200 OK\r\n", "Server: s\r\nETag: \"e\"\r\nvary: " +
		"Accept-Encoding\r\nContent-Length: 0\r\n"
	for _, c := range []struct {
		name   string
		fields []EditField
		added  string
		want   string
	}{
		{"nothing", nil, "", head},
		{"only added", nil, "A: b\r\nC: d\r\n", head + "A: b\r\nC: d\r\n"},
		{
			"set what is not there", []EditField{{Name: "Cache-Control", Value: "no-cache"}}, "",
			head + "Cache-Control: no-cache\r\n",
		},
		{"set takes the place of what is there, in any case", []EditField{{Name: "Etag", Value: "x"}}, "",
			strings.Replace(head, "ETag: \"e\"\r\n", "", 1) + "Etag: x\r\n"},
		{"removed", []EditField{{Name: "VARY"}}, "", strings.Replace(head, "vary: Accept-Encoding\r\n", "", 1)},
		{"the first and the last field removed", []EditField{{Name: "Content-Length"}, {Name: "Server"}}, "",
			"ETag: \"e\"\r\nvary: Accept-Encoding\r\n"},
		{"beside", []EditField{{Name: "Vary", Value: "Origin", Beside: true}}, "", head + "Vary: Origin\r\n"},
		{
			"removed though it says beside", []EditField{{Name: "Vary", Beside: true}}, "",
			strings.Replace(head, "vary: Accept-Encoding\r\n", "", 1),
		},
		{
			"what was added is changed too", []EditField{{Name: "A"}, {Name: "C", Value: "e"}},
			"A: b\r\nC: d\r\nF: g\r\n",
			head + "F: g\r\nC: e\r\n",
		},
		{"the later of two", []EditField{{Name: "A", Value: "1"}, {Name: "a", Value: "2"}}, "", head + "a: 2\r\n"},
		{
			"a name's beginning is another name", []EditField{{Name: "Content"}, {Name: "E"},
				{Name: "HTTP/1.1 200 OK"}}, "",
			head,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			edit := NewEdit(c.fields)
			got := headOf(t, func(_ *http1.Request, _ []byte, out *Output) {
				out.Add([]byte(c.added))
				out.Edit(edit)
				out.Head(200, []byte(head))
			})
			date := got[strings.Index(got, "Date: "):]
			if got = strings.TrimSuffix(got, date); got != statusLine+c.want || strings.Count(date, "\n") != 1 {
				t.Errorf("got %q and %q, want %q", got, date, c.want)
			}
		})
	}
}

// An error in the place of a file is not what the fields of the file are about.
func TestEditOfAnError(t *testing.T) {
	edit := NewEdit([]EditField{
		{
			Name:      "Cache-Control",
			Value:     "immutable",
			Successes: true,
		}, {Name: "Content-Type", Successes: true}, {Name: "X-All", Value: "1"}, {Name: "X-Content-Type-Options"},
	})
	got := headOf(t, func(_ *http1.Request, _ []byte, out *Output) {
		out.Add([]byte("X-Added: 1\r\nCache-Control: no-store\r\n"))
		out.Edit(edit)
		out.Fail(404, "Allow: GET\r\n", "no such file")
	})
	for _, want := range []string{
		"HTTP/1.1 404 Not Found\r\n", "\r\nX-Added: 1\r\n", "\r\nCache-Control: no-store\r\n", "\r\nX-All: 1\r\n",
		"\r\nAllow: GET\r\n", "\r\nContent-Type: text/plain",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Contains(got, "immutable") || strings.Contains(got, "nosniff") {
		t.Errorf("%q", got)
	}
}

// What one answer got is not in the next, and what was put off begins without.
func TestEditEndsWithItsAnswer(t *testing.T) {
	r := newRig(t, testConfig())
	edit := NewEdit([]EditField{{Name: "X-Edited", Value: "1"}})
	n := 0
	r.l.Handler = handlerFunc(func(_ *http1.Request, _ []byte, out *Output) {
		if n++; n == 1 || n == 2 {
			out.Add([]byte("X-Added: 1\r\n"))
			out.Edit(edit)
		}
		if n == 2 {
			out.Edit(nil)
		}
		if n == 4 && out.Deferred() == 0 {
			out.Add([]byte("X-Added: 1\r\n"))
			out.Edit(edit)
			n--
			out.Defer(&countedJob{&r.result})
			return
		}
		r.text(out, "x")
	})
	r.start(newScript(t, get("/1")+get("/2")+get("/3")+get("/4")))
	r.run()
	all := replies(t, r.t.out)
	if len(all) != 4 {
		t.Fatalf("%d answers", len(all))
	}
	for i, want := range []struct{ added, edited bool }{{true, true}, {true, false}, {false, false}, {false, false}} {
		f := all[i].fields
		if strings.Contains(f, "X-Added") != want.added || strings.Contains(f, "X-Edited") != want.edited {
			t.Errorf("answer %d: %q", i+1, f)
		}
	}
	r.release()
}

// Nothing is allocated for an answer's head that is added to and edited.
func TestEditAllocations(t *testing.T) {
	r := newRig(t, testConfig())
	edit := NewEdit([]EditField{{Name: "Cache-Control", Value: "no-cache"}, {Name: "X-Content-Type-Options"}})
	head, added := []byte("Server: s\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 0\r\n"), []byte("A: b\r\n")
	out := &r.l.out
	answer := func() {
		out.begin(&r.c, nil, nil)
		out.Add(added)
		out.Edit(edit)
		out.Head(200, head)
		out.clear()
	}
	answer()
	if n := testing.AllocsPerRun(100, answer); n != 0 && !testkit.Race {
		t.Errorf("%v allocations an answer", n)
	}
}

func BenchmarkEdit(b *testing.B) {
	edit := NewEdit(
		[]EditField{
			{Name: "Cache-Control", Value: "public, max-age=31536000, immutable"},
			{Name: "X-Frame-Options", Value: "DENY"},
		},
	)
	head := []byte("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"17b2c3d4e5f60718-400\"\r\n" +
		"Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nAccept-Ranges: bytes\r\n" +
		"Content-Length: 1024\r\n")
	dst := make([]byte, 0, 1024)
	for b.Loop() {
		dst = edit.set(edit.keep(dst[:0], head, false), false)
	}
}
