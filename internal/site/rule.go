package site

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/pattern"
	"github.com/evhttpd/evhttpd/internal/static"
)

// Rule is what differs for the paths that match. What is nil or empty says nothing.
type Rule struct {
	Match   string            `yaml:"match"`   // a pattern: * within a segment, ** across
	Headers map[string]string `yaml:"headers"` // fields of answers by name, at most once each; an empty value removes the field
	Listing *bool             `yaml:"listing"`
	ETag    *static.ETag      `yaml:"etag"`
	Hide    []string          `yaml:"hide"` // not nil but empty: nothing is hidden
	Links   *static.Links     `yaml:"symlinks"`
	Allow   []netip.Prefix    `yaml:"allow"`
	Deny    []netip.Prefix    `yaml:"deny"`
	Auth    *guard.Auth       `yaml:"auth"`
	CORS    *guard.CORS       `yaml:"cors"`
}

// set is what the rules that match a path say together: all apply, in order, and
// the later wins, key by key.
type set struct {
	view   *static.Site
	edit   *conn.Edit   // of the head of every answer; nil: none
	access *guard.Guard // nil: everybody may have it
}

// setsMax bounds the combinations of rules that are remembered. There are few, unless many
// patterns overlap and somebody looks for paths to combine them.
const setsMax = 4096

// matching says which rules match a path, as text: a byte for each. A rule that matches a
// directory's index file matches the directory too, which that is the answer to.
func (s *host) matching(path string) string {
	m := s.exactly(path)
	for _, file := range s.indexes(path) {
		m = either(m, s.exactly(file))
	}
	return m
}

// exactly says which rules match that path and no other.
func (s *host) exactly(path string) string {
	m := make([]byte, len(s.rules))
	for i, rule := range s.rules {
		m[i] = no
		if rule.Match(path) {
			m[i] = yes
		}
	}
	return string(m)
}

// indexes are the files that may be the answer to a directory; none of another path.
func (s *host) indexes(path string) (files []string) {
	if len(s.rules) > 0 && strings.HasSuffix(path, "/") {
		for _, index := range s.options.Index {
			files = append(files, path+index)
		}
	}
	return files
}

const no, yes = '-', '+'

// either is what matches one or the other.
func either(a, b string) string {
	m := []byte(a)
	for i := range m {
		if b[i] == yes {
			m[i] = yes
		}
	}
	return string(m)
}

// set returns what the rules that match say together.
func (s *host) set(matching string) (*set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.sets[matching]; known != nil {
		return known, nil
	}
	made := &set{access: s.accesses.of(matching)}
	options := s.files.ViewOptions()
	var fields []conn.EditField
	for i := range len(matching) {
		if matching[i] == no {
			continue
		}
		r := &s.options.Rules[i]
		fields = fieldsOf(fields, r.Headers, true)
		r.view(&options)
	}
	made.edit = conn.NewEdit(fields)
	var err error
	if made.view, err = s.files.View(options); err != nil {
		return nil, err
	}
	if len(s.sets) < setsMax {
		s.sets[matching] = made
	}
	return made, nil
}

// guards reports whether the rule says who may have its paths.
func (r *Rule) guards() bool { return len(r.Allow)+len(r.Deny) > 0 || r.Auth != nil }

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

// editElsewhere is the Edit of a request's answer that is another path's file, such as the fallback: all
// that the rules of the file's path say, and of those of the request's what is not about a file.
func (s *host) editElsewhere(request, file string) *conn.Edit {
	key := request + " " + file
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.edits[key]; ok {
		return known
	}
	var fields []conn.EditField
	for i := range len(request) {
		if request[i] == yes || file[i] == yes {
			fields = fieldsOf(fields, s.options.Rules[i].Headers, file[i] == yes)
		}
	}
	edit := conn.NewEdit(fields)
	if len(s.edits) < setsMax {
		s.edits[key] = edit
	}
	return edit
}

// CheckPattern says what is wrong with a pattern of paths. Paths are matched decoded: a pattern that is written as in a URL
// matches no path, or another than is meant, and what a rule was to protect would be open.
func CheckPattern(s string) error {
	if _, err := pattern.New(s); err != nil {
		return err
	}
	if http1.HasControl(s) {
		return fmt.Errorf("%q: want a pattern without control characters", s)
	}
	if plain := spelled(s); plain != s {
		return fmt.Errorf("%q: is not how a path is spelled when it is matched, which is decoded, without //, . and ..: write it as %q", s, plain)
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

// newRules checks what the rules say.
func (s *host) newRules(files *guard.PasswordFiles) (err error) {
	if s.accesses, err = newAccesses(s.options.Rules, files); err != nil {
		return err
	}
	s.sets, s.edits = make(map[string]*set), make(map[string]*conn.Edit)
	for i := range s.options.Rules {
		r := &s.options.Rules[i]
		options := s.files.ViewOptions()
		r.view(&options)
		if err := s.files.CheckView(options); err != nil {
			return fmt.Errorf("paths[%d]: %w", i, err)
		}
	}
	return nil
}
