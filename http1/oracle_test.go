package http1

import (
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// content is a file of some size for http.ServeContent, which is asked for its heads alone.
type content struct{ size, at int64 }

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	c.at = offset
	return c.at, nil
}

func (*content) Read([]byte) (int, error) { return 0, errors.New("only the head is looked at") }

// served is the status and the head with which net/http answers a request that has one more field.
func served(size int64, etag, field, value string) (int, http.Header) {
	answer := httptest.NewRecorder()
	answer.Header().Set("Content-Type", "text/plain")
	if etag != "" {
		answer.Header().Set("Etag", etag)
	}
	request := &http.Request{Method: http.MethodGet, Header: http.Header{field: {value}}}
	http.ServeContent(answer, request, "", time.Time{}, &content{size: size})
	return answer.Code, answer.Header()
}

// checkRangeOracle: where net/http and ParseRange both find one range, it is the same one, and net/http takes
// every single range that is satisfiable here.
func checkRangeOracle(t *testing.T, value string, size int64, got []ByteRange, result RangeResult) {
	t.Helper()
	if size == 0 || size > math.MaxInt64/2 {
		return // net/http knows no range of an empty file, and adds to sizes
	}
	status, head := served(size, "", "Range", value)
	if result == RangeSatisfiable && len(got) == 1 {
		want := fmt.Sprintf("bytes %d-%d/%d", got[0].Offset, got[0].Offset+got[0].Length-1, size)
		if text := head.Get("Content-Range"); status == http.StatusPartialContent && text != "" && text != want {
			t.Errorf("%q of %d: %q, net/http %q", value, size, want, text)
		}
		// Of several elements net/http counts those that are empty or beyond the end in another way; numbers
		// beyond an int64 are a mistake to it.
		plain := strings.HasPrefix(value, "bytes=") && !strings.ContainsAny(value, ", \t") && len(value) < 24
		if plain && status != http.StatusPartialContent && got[0].Length != size {
			t.Errorf("%q of %d: %q, net/http answers %d", value, size, want, status)
		}
	}
	// net/http answers a suffix of no bytes with 206.
	if status == http.StatusPartialContent && result == RangeUnsatisfiable && !strings.Contains(value, "-0") {
		t.Errorf("%q of %d: unsatisfiable, net/http %v", value, size, head)
	}
}

// checkETagOracle: net/http comes to the same decision for every list that is valid.
func checkETagOracle(t *testing.T, list, etag string, strong, weak bool) {
	t.Helper()
	if _, _, rest, ok := cutETag([]byte(etag)); !ok || len(rest) > 0 {
		return
	}
	if status, _ := served(9, etag, "If-None-Match", list); (status == http.StatusNotModified) != weak {
		t.Errorf("If-None-Match: %q for %s: match %v, net/http answers %d", list, etag, weak, status)
	}
	if status, _ := served(9, etag, "If-Match", list); (status == http.StatusPreconditionFailed) == strong {
		t.Errorf("If-Match: %q for %s: match %v, net/http answers %d", list, etag, strong, status)
	}
}

// FuzzAccept checks that a media range is cut as package mime cuts it, that weights have their bounds, and that
// what follows a media range does not change it.
func FuzzAccept(f *testing.F) {
	f.Add("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8")
	f.Add(`text/plain;format="a,b;q=0";q=0.5`)
	f.Add("text/*;Q=0.001")
	f.Fuzz(func(t *testing.T, value string) {
		count := 0
		for ranges := AcceptedIn([]byte(value)); ranges.Next(); count++ {
			if ranges.Weight < 0 || ranges.Weight > 1000 ||
				strings.TrimSpace(string(ranges.Media)) == "" && value == "" {
				t.Errorf("%q: %q has weight %d", value, ranges.Media, ranges.Weight)
			}
		}
		if count > mediaRangesMax {
			t.Errorf("%q: %d media ranges", value, count)
		}
		kind, params, err := mime.ParseMediaType(value)
		if err != nil || count != 1 || !isASCII(value) {
			return
		}
		weight := 1000
		if q, has := params["q"]; has {
			parsed, _ := parseQvalue([]byte(q))
			weight = int(parsed)
		}
		ranges := AcceptedIn([]byte(value + ", text/css;q=0.3"))
		ranges.Next()
		if !strings.EqualFold(string(ranges.Media), kind) || ranges.Weight != weight && !strings.Contains(value, `"`) {
			t.Errorf("%q: %q with %d, mime: %q with %d", value, ranges.Media, ranges.Weight, kind, weight)
		}
		if !ranges.Next() || string(ranges.Media) != "text/css" || ranges.Weight != 300 || ranges.Next() {
			t.Errorf("%q: what follows is %q with %d", value, ranges.Media, ranges.Weight)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 126 || r < ' ' }) < 0
}
