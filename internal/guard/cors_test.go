package guard

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// newCORSDoor answers as the steps of a site do, for these options.
func newCORSDoor(t testing.TB, o CORS) *door {
	t.Helper()
	c, err := NewOrigins(&o)
	if err != nil {
		t.Fatal(err)
	}
	return newDoor(t, (&Guard{Origins: c}).Check)
}

// told are the fields of an answer that concern CORS, as "name: value".
func told(r *http.Response) (all []string) {
	for name, values := range r.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
			for _, value := range values {
				all = append(all, strings.TrimPrefix(name, "Access-Control-")+": "+value)
			}
		}
	}
	slices.Sort(all)
	return all
}

const expose = "Expose-Headers: " + exposed

func TestCORS(t *testing.T) {
	any := CORS{Origins: []string{"*"}, Methods: []string{"GET", "HEAD"}, MaxAge: 10 * time.Minute}
	named := CORS{Origins: []string{"https://a.example", "HTTP://B.example:80", "https://[2001:db8::1]:8443"},
		Methods: []string{"GET"}, Headers: []string{"X-A", "X-B"}}
	private := named
	private.Credentials = true
	const ask = "Access-Control-Request-Method: GET\r\n"
	from := func(origin string) string { return "Origin: " + origin + "\r\n" }
	const conditions = "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since"
	ranged := named
	ranged.Headers = []string{"range", "X-A"}
	preflightAny := []string{"Allow-Headers: " + conditions, "Allow-Methods: GET, HEAD", "Allow-Origin: *", expose,
		"Max-Age: 600"}
	preflightNamed := []string{"Allow-Headers: X-A, X-B, " + conditions, "Allow-Methods: GET",
		"Allow-Origin: https://a.example", expose, "Max-Age: 0", "Vary: Origin"}
	for _, c := range []struct {
		name   string
		cors   CORS
		method string
		fields string
		status int
		want   []string
	}{
		{"any: simple", any, "GET", from("https://x.example"), 200, []string{"Allow-Origin: *", expose}},
		{"any: no origin gets the same, for caches", any, "GET", "", 200, []string{"Allow-Origin: *", expose}},
		{"any: the origin null", any, "GET", from("null"), 200, []string{"Allow-Origin: *", expose}},
		{"any: preflight", any, "OPTIONS", from("https://x.example") + ask, 204, preflightAny},
		{"any: OPTIONS without a method is no preflight", any, "OPTIONS", from("https://x.example"), 200,
			[]string{"Allow-Origin: *", expose}},
		{"any: OPTIONS without an origin is no preflight", any, "OPTIONS", ask, 200,
			[]string{"Allow-Origin: *", expose}},
		{"any: GET with a preflight's fields is none", any, "GET", from("https://x.example") + ask, 200,
			[]string{"Allow-Origin: *", expose}},
		{"named: simple", named, "GET", from("https://a.example"), 200,
			[]string{"Allow-Origin: https://a.example", expose, "Vary: Origin"}},
		{"named: as browsers write it", named, "GET", from("http://b.example"), 200,
			[]string{"Allow-Origin: http://b.example", expose, "Vary: Origin"}},
		{"named: an address with a port", named, "HEAD", from("https://[2001:db8::1]:8443"), 200,
			[]string{"Allow-Origin: https://[2001:db8::1]:8443", expose, "Vary: Origin"}},
		{"named: a stranger", named, "GET", from("https://x.example"), 200, []string{"Vary: Origin"}},
		{"named: no origin", named, "GET", "", 200, []string{"Vary: Origin"}},
		{"named: the origin null", named, "GET", from("null"), 200, []string{"Vary: Origin"}},
		{"named: an empty origin", named, "GET", "Origin:\r\n", 200, []string{"Vary: Origin"}},
		{"named: another scheme", named, "GET", from("http://a.example"), 200, []string{"Vary: Origin"}},
		{"named: another port", named, "GET", from("https://a.example:8443"), 200, []string{"Vary: Origin"}},
		{"named: a name that begins so", named, "GET", from("https://a.example.evil"), 200, []string{"Vary: Origin"}},
		{"named: a name that ends so", named, "GET", from("https://evila.example"), 200, []string{"Vary: Origin"}},
		{"named: two in a field", named, "GET", from("https://a.example https://x.example"), 200,
			[]string{"Vary: Origin"}},
		{"named: preflight", named, "OPTIONS", from("https://a.example") + ask, 204, preflightNamed},
		{"named: a preflight for what is not allowed says what is", named, "OPTIONS",
			from("https://a.example") +
				"Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: x-evil\r\n", 204,
			preflightNamed},
		{"named: a field that is always allowed stands once", ranged, "OPTIONS", from("https://a.example") + ask, 204,
			append([]string{"Allow-Headers: range, X-A" + strings.TrimPrefix(conditions, "Range")},
				preflightNamed[1:]...)},
		{"named: a stranger's preflight", named, "OPTIONS", from("https://x.example") + ask, 204,
			[]string{"Vary: Origin"}},
		{"named: credentials are not allowed", named, "GET", from("https://a.example") + "Cookie: a=b\r\n", 200,
			[]string{"Allow-Origin: https://a.example", expose, "Vary: Origin"}},
		{"credentials: simple", private, "GET", from("https://a.example"), 200,
			[]string{"Allow-Credentials: true", "Allow-Origin: https://a.example", expose, "Vary: Origin"}},
		{"credentials: a stranger", private, "GET", from("https://x.example"), 200, []string{"Vary: Origin"}},
		{"two origins", named, "GET", from("https://a.example") + from("https://a.example"), 400, nil},
		{"two methods", named, "OPTIONS", from("https://a.example") + ask + ask, 400, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newCORSDoor(t, c.cors).ask(c.method, c.fields)
			if got := told(r); r.StatusCode != c.status || !slices.Equal(got, c.want) {
				t.Errorf("got %d %q, want %d %q", r.StatusCode, got, c.status, c.want)
			}
			if c.status == 204 && r.Header.Get("Server") != "evhttpd" {
				t.Error("no Server field")
			}
			if _, has := r.Header["Content-Length"]; has && c.status == 204 {
				t.Error("a 204 has a Content-Length (RFC 9110 section 8.6)")
			}
		})
	}
}

func TestCORSRefusesCredentialsForAnyOrigin(t *testing.T) {
	if _, err := NewOrigins(&CORS{Origins: []string{"*"}, Credentials: true}); err == nil {
		t.Error("no error")
	}
	if c, err := NewOrigins(nil); c != nil || err != nil {
		t.Error(c, err)
	}
}

// Thousands of origins cost a request what one does: a look-up that allocates nothing.
func TestCORSThousandsOfOrigins(t *testing.T) {
	o := CORS{Methods: []string{"GET"}}
	for i := range 5000 {
		o.Origins = append(o.Origins, fmt.Sprintf("https://site%d.example", i))
	}
	d := newCORSDoor(t, o)
	for _, i := range []int{0, 4999, 5000} {
		allowed := slices.Contains(told(d.ask("GET", fmt.Sprintf("Origin: https://site%d.example\r\n", i))),
			fmt.Sprintf("Allow-Origin: https://site%d.example", i))
		if allowed != (i < 5000) {
			t.Errorf("origin %d: allowed %v", i, allowed)
		}
	}
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://site4321.example\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://" + strings.Repeat("x", 8000) + "\r\n\r\n",
	} {
		if n := d.allocations(raw); n != 0 {
			t.Errorf("%v allocations for %.80q", n, raw)
		}
	}
}

// Whatever an origin says, no field of the answer holds bytes that were not configured.
func FuzzCORS(f *testing.F) {
	for _, origin := range []string{"https://a.example", "null", "", "https://a.example\x01", "HTTPS://A.EXAMPLE",
		"*"} {
		f.Add(origin)
	}
	c, err := NewOrigins(&CORS{Origins: []string{"https://a.example"}, Credentials: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		fields, may := c.fields([]byte(origin))
		allowed := strings.Contains(string(fields), "Allow-Origin")
		if allowed != (origin == "https://a.example") || allowed != may {
			t.Errorf("%q: %q", origin, fields)
		}
	})
}
