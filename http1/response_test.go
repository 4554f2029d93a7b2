package http1

import (
	"bufio"
	"bytes"
	"math"
	"net/http"
	"testing"
)

func TestAppendStatusLineRFC9112Section4(t *testing.T) {
	for status, want := range map[int]string{
		200: "HTTP/1.1 200 OK\r\n",
		206: "HTTP/1.1 206 Partial Content\r\n",
		413: "HTTP/1.1 413 Content Too Large\r\n",
		418: "HTTP/1.1 418 \r\n",
		599: "HTTP/1.1 599 \r\n",
		999: "HTTP/1.1 999 \r\n",
	} {
		if got := string(AppendStatusLine(nil, status)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestReasonsAreRegistered(t *testing.T) {
	renamed := map[int]string{ // RFC 9110 changed these names
		413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable",
	}
	for status, reason := range reasons {
		want, ok := renamed[status]
		if !ok {
			want = http.StatusText(status)
		}
		if reason != "" && reason != want {
			t.Errorf("%d: got %q, want %q", status, reason, want)
		}
	}
}

func TestResponseHeadIsReadByNetHTTP(t *testing.T) {
	head := AppendStatusLine(nil, 404)
	head = AppendField(head, "Content-Type", "text/plain")
	head = append(head, "Content-Length: "...)
	head = AppendInt(head, math.MaxInt64)
	head = append(head, "\r\n\r\n"...)
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != "404 Not Found" || resp.ContentLength != math.MaxInt64 ||
		resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("%q is read as %+v", head, resp)
	}
}

func TestResponseAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		AppendInt(AppendField(AppendStatusLine(buf, 200), "A", "b"), 1<<40)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestErrorExplains(t *testing.T) {
	for _, c := range []struct {
		err  Error
		want string
	}{
		{
			Error{400, "LF without CR", 14, "RFC 9112 section 2.2", "with nc use -C"},
			"400: LF without CR at byte 14 (RFC 9112 section 2.2; with nc use -C)",
		},
		{Error{400, "LF without CR", 0, "RFC 9112 section 2.2", ""},
			"400: LF without CR at byte 0 (RFC 9112 section 2.2)"},
		{Error{404, "no such file", -1, "", "look again"}, "404: no such file (look again)"},
		{Error{408, "timeout", -1, "", ""}, "408: timeout"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
