package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzParse checks that the outcome does not depend on how the bytes arrive,
// that a complete request keeps its promises, and that net/http reads every
// request that is served in the same way: two readings of one message are how requests are smuggled.
func FuzzParse(f *testing.F) {
	for _, c := range acceptedHeads {
		f.Add([]byte(c.head))
	}
	for _, c := range refusedHeads {
		f.Add([]byte(c.head))
	}
	f.Add([]byte(browserHead))
	f.Add([]byte(get("Transfer-Encoding: chunked") + acceptedChunks[5].body))
	f.Add([]byte(get("Content-Length: 5") + "hello" + wrkHead))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if len(buf) > 4<<10 {
			return // splits are tried everywhere
		}
		small := Limits{RequestLine: 60, Head: 200, Fields: 4}
		checkSplits(t, buf, &small)
		got := checkSplits(t, buf, &testLimits)
		switch got.result {
		case Complete:
			if method := PeekMethod(buf); method != got.req.Method {
				t.Errorf("%q: method %d, peeked at %d", buf, got.req.Method, method)
			}
			checkInvariants(t, buf, &got.req)
			checkNetHTTP(t, buf, &got.req)
		case Invalid:
			if e := got.err; e.Status < 400 || e.Status > 505 || e.Rule == "" || e.Source == "" || e.At < 0 ||
				e.At > len(buf) {
				t.Errorf("%q: %+v", buf, e)
			}
		}
	})
}

func checkInvariants(t *testing.T, buf []byte, req *Request) {
	t.Helper()
	if req.HeadLen > len(buf) || !bytes.HasSuffix(buf[:req.HeadLen], []byte("\r\n\r\n")) {
		t.Fatalf("%q: HeadLen %d", buf, req.HeadLen)
	}
	spans := []Span{req.Name, req.Line, req.Target, req.Path, req.Query, req.Host}
	hosts := 0
	values := map[FieldID][]string{}
	for _, field := range req.Fields {
		spans = append(spans, field.Name, field.Value)
		name, value := string(field.Name.In(buf)), string(field.Value.In(buf))
		if name == "" || strings.Trim(value, " \t") != value || strings.ContainsAny(value, "\r\n\x00") {
			t.Errorf("%q: field %q: %q", buf, name, value)
		}
		if strings.EqualFold(name, "host") {
			hosts++
		}
		if field.ID != FieldOther && !strings.EqualFold(name, fieldNames[field.ID]) {
			t.Errorf("%q: %q is known as %q", buf, name, fieldNames[field.ID])
		}
		values[field.ID] = append(values[field.ID], value)
	}
	for id := FieldHost; id < numFields; id++ {
		if want := strings.Join(values[id], ", "); string(req.Get(id, buf)) != want ||
			req.Has(id) != (values[id] != nil) {
			t.Errorf("%q: %s is %q, want %q", buf, fieldNames[id], req.Get(id, buf), want)
		}
	}
	for _, s := range spans {
		if int(s.Off)+int(s.Len) > req.HeadLen {
			t.Errorf("%q: span %v beyond %d", buf, s, req.HeadLen)
		}
	}
	if hosts > 1 || hosts == 0 && req.Minor == 1 {
		t.Errorf("%q: %d hosts in 1.%d", buf, hosts, req.Minor)
	}
	if req.Framing == ChunkedBody && (req.Minor == 0 || req.Has(FieldContentLength)) ||
		req.Framing == LengthBody != req.Has(FieldContentLength) {
		t.Errorf("%q: framing %d", buf, req.Framing)
	}
	if req.Form == OriginForm && !bytes.HasPrefix(req.Path.In(buf), []byte("/")) {
		t.Errorf("%q: path %q", buf, req.Path.In(buf))
	}
}

// checkNetHTTP compares a complete request and its body, if that is whole,
// with what net/http reads from the same bytes.
func checkNetHTTP(t *testing.T, buf []byte, req *Request) {
	t.Helper()
	start := int(req.Line.Off)
	std, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(buf[start:]), len(buf)+16))
	if err != nil {
		// A path's escapes are looked at by AppendPath; nothing else is refused there that we serve.
		if bad := (*url.Error)(nil); !errors.As(err, &bad) {
			t.Errorf("%q: net/http: %v", buf, err)
		}
		return
	}
	host := string(req.Host.In(buf))
	target := string(req.Target.In(buf))
	if std.Method != string(req.Name.In(buf)) || std.RequestURI != target || std.ProtoMajor != 1 {
		t.Errorf("%q: net/http reads %s %s", buf, std.Method, std.RequestURI)
	}
	if req.Form != AuthorityForm && std.Host != host {
		t.Errorf("%q: host %q, net/http %q", buf, host, std.Host)
	}
	length := int64(0)
	switch req.Framing {
	case LengthBody:
		length = req.Length
	case ChunkedBody:
		length = -1
	}
	if std.ContentLength != length {
		t.Errorf("%q: length %d, net/http %d", buf, length, std.ContentLength)
	}
	if req.Close && !std.Close && req.Minor > 0 {
		t.Errorf("%q: close, net/http not", buf)
	}
	var body Body
	body.Start(req)
	n, done, bad := body.Consume(buf[req.HeadLen:], &Limits{})
	if !done || bad.Status != 0 {
		return
	}
	content, err := io.ReadAll(std.Body)
	if err == nil && int64(len(content)) != body.Received() {
		t.Errorf("%q: body of %d bytes, net/http %d", buf, body.Received(), len(content))
	}
	if n > len(buf)-req.HeadLen {
		t.Errorf("%q: %d bytes consumed", buf, n)
	}
}

// FuzzBody checks that the outcome does not depend on how the bytes arrive and
// that net/http sees the same content in chunks that are accepted.
func FuzzBody(f *testing.F) {
	for _, c := range acceptedChunks {
		f.Add([]byte(c.body), int64(-1))
	}
	for _, c := range refusedChunks {
		f.Add([]byte(c.body), int64(-1))
	}
	f.Add([]byte("hello, world"), int64(5))
	f.Fuzz(func(t *testing.T, p []byte, length int64) {
		if len(p) > 4<<10 {
			return
		}
		body := chunked()
		if length >= 0 {
			body = lengthOf(length)
		}
		checkBodySplits(t, body, p, &Limits{Body: 40, Head: 60, Fields: 2})
		got := checkBodySplits(t, body, p, &Limits{})
		if got.n > len(p) || got.done && got.err != "" || !got.done && got.err == "" && got.n != len(p) {
			t.Errorf("%q: %+v", p, got)
		}
		if length >= 0 || !got.done {
			return
		}
		std, err := http.ReadRequest(
			bufio.NewReader(io.MultiReader(strings.NewReader(get("Transfer-Encoding: chunked")),
				bytes.NewReader(p[:got.n]))),
		)
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(std.Body); err == nil && int64(len(content)) != got.received {
			t.Errorf("%q: %d bytes of content, net/http %d", p, got.received, len(content))
		}
	})
}
