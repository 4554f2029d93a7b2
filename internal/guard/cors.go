package guard

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// CORS says which other origins' scripts may read the answers (https://fetch.spec.whatwg.org/#http-cors-protocol).
type CORS struct {
	Origins []string `yaml:"origins"` // such as https://example.org; "*" is all of them
	Methods []string `yaml:"methods"`
	// Headers are the fields that a script may set, beside conditions. "*" is all of them, without Credentials.
	Headers     []string      `yaml:"headers"`
	Credentials bool          `yaml:"credentials"` // a script may send cookies and passwords; not with the origin "*"
	MaxAge      time.Duration `yaml:"max_age"`
}

// exposed are the fields of our answers that scripts may read beside those that they always may (Fetch, CORS-safelisted
// response-header name).
const exposed = "Accept-Ranges, Content-Encoding, Content-Range, ETag, Retry-After, X-Not-Listed"

// conditions are the fields of a request that ask for a part of a file, or for it only if it has changed. Scripts may
// set them wherever they may read the answer: a browser asks for leave even where its own cache would set them.
var conditions = []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}

// Origins is a CORS ready for use. It is never changed, and safe for use by any number of goroutines.
type Origins struct {
	any       []byte            // the fields of every answer; nil: the fields depend on the origin
	origins   map[string][]byte // the fields of an answer, by the origin of the request
	preflight []byte            // the further fields of the answer to a preflight
}

// varyOrigin is for every answer that would have other fields if the request had another origin, or none.
var varyOrigin = []byte("Vary: Origin\r\n")

// CheckOrigin says what is wrong with an element of CORS.Origins. Browsers write other scripts than ASCII in punycode,
// and that is what is compared.
func CheckOrigin(s string) error {
	u, err := url.Parse(s)
	ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == "" &&
		!strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
	if !ok && s != "*" {
		return fmt.Errorf("%q: want an origin such as https://example.org, without a path and in punycode, or *", s)
	}
	return nil
}

// Check calls wrong with what does not go together, and with the key that is to be changed.
func (o *CORS) Check(wrong func(key, text string)) {
	if o.Credentials && slices.Contains(o.Origins, "*") {
		wrong("credentials",
			"true: not with the origin *, which browsers refuse together (Fetch, section 3.3.5): name the origins")
	}
	if i := slices.Index(o.Headers, "*"); o.Credentials && i >= 0 {
		wrong(fmt.Sprintf("headers[%d]", i),
			"\"*\": is no wildcard with credentials (Fetch, section 3.3.5): name the fields")
	}
}

// NewOrigins returns o ready for use, nil for nil.
func NewOrigins(o *CORS) (*Origins, error) {
	if o == nil {
		return nil, nil
	}
	var err error
	o.Check(func(key, text string) { err = errors.Join(err, fmt.Errorf("cors: %s %s", key, text)) })
	if err != nil {
		return nil, err
	}
	expose := "Access-Control-Expose-Headers: " + exposed + "\r\n"
	c := &Origins{}
	if slices.Contains(o.Origins, "*") {
		c.any = []byte("Access-Control-Allow-Origin: *\r\n" + expose)
	}
	if o.Credentials {
		expose += "Access-Control-Allow-Credentials: true\r\n"
	}
	c.origins = make(map[string][]byte, len(o.Origins))
	for _, origin := range o.Origins {
		origin = serialized(origin)
		c.origins[origin] = []byte("Access-Control-Allow-Origin: " + origin + "\r\n" + string(varyOrigin) + expose)
	}
	if len(o.Methods) > 0 {
		c.preflight = http1.AppendField(c.preflight, "Access-Control-Allow-Methods", strings.Join(o.Methods, ", "))
	}
	headers := slices.Clone(o.Headers)
	for _, name := range conditions {
		if !slices.ContainsFunc(headers, func(h string) bool { return strings.EqualFold(h, name) }) {
			headers = append(headers, name)
		}
	}
	c.preflight = http1.AppendField(c.preflight, "Access-Control-Allow-Headers", strings.Join(headers, ", "))
	c.preflight = http1.AppendField(c.preflight, "Access-Control-Max-Age", fmt.Sprint(int64(o.MaxAge/time.Second)))
	return c, nil
}

// serialized is an origin as browsers write it: in lower case, without the port that the scheme has by default
// (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin).
func serialized(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return origin
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + host
}

// fields are the fields of an answer to a request from that origin, which is empty if the request names none. allowed:
// that origin's scripts may read the answer.
func (c *Origins) fields(origin []byte) (fields []byte, allowed bool) {
	if c.any != nil {
		return c.any, true
	}
	if fields, ok := c.origins[string(origin)]; ok {
		return fields, true
	}
	return varyOrigin, false
}

// isPreflight reports whether a browser asks what a script of another origin may do (Fetch, CORS-preflight request).
func isPreflight(req *http1.Request) bool {
	return req.Method == http1.MethodOPTIONS && req.Has(http1.FieldOrigin) &&
		req.Has(http1.FieldAccessControlRequestMethod)
}

// add puts the fields into whatever answer the request gets.
func (c *Origins) add(req *http1.Request, buf []byte, out *conn.Output) {
	if c != nil {
		fields, _ := c.fields(req.Get(http1.FieldOrigin, buf))
		out.Add(fields)
	}
}

// check answers a preflight, and reports whether the request is one. What may be done is the same whatever it asks
// for: the browser compares.
func (c *Origins) check(req *http1.Request, buf []byte, out *conn.Output) (done bool) {
	if c == nil || !isPreflight(req) {
		return false
	}
	var may []byte
	if _, allowed := c.fields(req.Get(http1.FieldOrigin, buf)); allowed {
		may = c.preflight
	}
	out.Head(204, may)
	return true
}
