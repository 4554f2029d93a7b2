package site

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/pattern"
	"github.com/evhttpd/evhttpd/internal/static"
)

// Rule is what differs for the paths that match. What is nil or empty says nothing.
type Rule struct {
	Match string `yaml:"match"` // a pattern: * within a segment, ** across
	// fields of answers by name, at most once each; an empty value removes the field
	Headers map[string]string `yaml:"headers"`
	Listing *bool             `yaml:"listing"`
	ETag    *static.ETag      `yaml:"etag"`
	Hide    []string          `yaml:"hide"` // not nil but empty: nothing is hidden
	Links   *static.Links     `yaml:"symlinks"`
	Allow   []netip.Prefix    `yaml:"allow"`
	Deny    []netip.Prefix    `yaml:"deny"`
	Auth    *guard.Auth       `yaml:"auth"`
	CORS    *guard.CORS       `yaml:"cors"`
}

// guards reports whether the rule says who may have its paths.
func (r *Rule) guards() bool { return len(r.Allow)+len(r.Deny) > 0 || r.Auth != nil }

// check says what is wrong with the parts that nothing is made of beforehand.
func (r *Rule) check() error {
	for _, pattern := range r.Hide {
		if err := static.CheckHide(pattern); err != nil {
			return fmt.Errorf("hide: %w", err)
		}
	}
	// The value of a field is not as strict as an entry of Site.Types: what stands behind the type is sent as it is.
	mediaType, ok := valueOf(r.Headers, contentType)
	main, sub, _ := strings.Cut(mediaType, "/")
	if ok && mediaType != "" && (main == "" || sub == "" || http1.HasControl(mediaType)) {
		return fmt.Errorf("%q: want a media type such as application/wasm", mediaType)
	}
	return nil
}

// view changes the options of a view to what the rule says.
func (r *Rule) view(options *static.ViewOptions) {
	if r.Listing != nil {
		options.Listing = *r.Listing
	}
	if r.ETag != nil {
		options.ETag = *r.ETag
	}
	if r.Hide != nil {
		options.Hide = r.Hide
	}
	if r.Links != nil {
		options.Links = *r.Links
	}
	if mediaType, ok := valueOf(r.Headers, contentType); ok {
		options.Type = &mediaType
	}
	if coding, ok := valueOf(r.Headers, contentEncoding); ok {
		options.Encoded = coding != ""
	}
}

// CheckPattern says what is wrong with a pattern of paths. Paths are matched decoded: a pattern that is written as in
// a URL matches no path, or another than is meant, and what a rule was to protect would be open.
func CheckPattern(s string) error {
	if _, err := pattern.New(s); err != nil {
		return err
	}
	if http1.HasControl(s) {
		return fmt.Errorf("%q: want a pattern without control characters", s)
	}
	if plain := spelled(s); plain != s {
		return fmt.Errorf("%q: is not how a path is spelled when it is matched, which is decoded, without //, . "+
			"and ..: write it as %q", s, plain)
	}
	return nil
}

// spelled is a path as it is when it is matched, whether it is one that a request can have or not.
func spelled(s string) string {
	for i := 0; i+2 < len(s); i++ {
		if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); s[i] == '%' && err == nil {
			s = s[:i] + string([]byte{byte(c)}) + s[i+3:]
		}
	}
	return cleaned(s)
}
