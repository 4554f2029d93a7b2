package site

import (
	"fmt"

	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/static"
)

// Site is one site: its hosts, its root, and how its paths are answered. Paths are decoded ones. The yaml tag of a
// field is its key in the configuration, which is read by internal/config.
type Site struct {
	Hosts         []string          `yaml:"hosts"` // lower case: exact, *.example.org, or * for any and none
	Root          string            `yaml:"root"`
	Index         []string          `yaml:"index"`
	Listing       bool              `yaml:"listing"`
	Hide          []string          `yaml:"hide"`
	Links         static.Links      `yaml:"symlinks"`
	ETag          static.ETag       `yaml:"etag"`
	Types         map[string]string `yaml:"types"` // .ext: media type
	Precompressed []string          `yaml:"precompressed"`
	Compress      []string          `yaml:"compress"`
	// $path, $path with an ending, or a path of the site; none: $path
	TryFiles          []string       `yaml:"try_files"`
	Fallback          string         `yaml:"fallback"`    // for a GET or HEAD that accepts HTML by name; empty: none
	ErrorPages        map[int]string `yaml:"error_pages"` // paths of the site, by status
	Redirects         []Redirect     `yaml:"redirects"`   // the first that matches is made
	RelativeRedirects bool           `yaml:"relative_redirects"`
	Rules             []Rule         `yaml:"paths"` // all that match apply, in order, the later winning key by key
}

// openSite is a Site whose root is open.
type openSite struct {
	files     *static.Site
	rules     *rules
	redirects []*redirect
	tries     []try
	fallback  string
	pages     map[int]string
	plain     bool // the site is its files and nothing else, so that static's own handler serves it
}

// newOpenSite checks a site and opens it.
func newOpenSite(site Site, opts *Options, passwords *guard.PasswordFiles) (*openSite, error) {
	s := &openSite{}
	s.plain = len(site.TryFiles)+len(site.ErrorPages)+len(site.Redirects)+len(site.Rules) == 0 && site.Fallback == ""
	if err := s.preparePaths(&site, passwords); err != nil {
		return nil, err
	}
	var err error
	s.files, err = static.New(static.Options{
		ViewOptions: static.ViewOptions{Listing: site.Listing, Hide: site.Hide, Links: site.Links, ETag: site.ETag},
		Root:        site.Root, Index: site.Index, Types: site.Types, Paths: s.rules.listed(),
		Precompressed: site.Precompressed, Compress: site.Compress, RelativeRedirects: site.RelativeRedirects,
		Ranges: opts.Ranges, Valid: opts.Valid, Tell: opts.Tell, Now: opts.Now,
	}, opts.Cache)
	s.rules.files = s.files
	return s, err
}

// preparePaths checks what the site says of paths, and makes it ready.
func (s *openSite) preparePaths(site *Site, passwords *guard.PasswordFiles) (err error) {
	if s.rules, err = newRules(site.Rules, site.Index, passwords); err != nil {
		return err
	}
	for i, r := range site.Redirects {
		d, err := newRedirect(r)
		if err != nil {
			return fmt.Errorf("redirects[%d].%w", i, err)
		}
		s.redirects = append(s.redirects, d)
	}
	for _, text := range site.TryFiles {
		t, err := newTry(text)
		if err != nil {
			return fmt.Errorf("try_files: %w", err)
		}
		s.tries = append(s.tries, t)
	}
	if len(site.TryFiles) == 0 {
		s.tries = []try{{derived: true}}
	}
	if site.Fallback != "" {
		s.fallback = cleaned(site.Fallback)
	}
	if err := CheckFallback(site.Fallback); err != nil {
		return fmt.Errorf("fallback: %w", err)
	}
	s.pages = make(map[int]string)
	for status, text := range site.ErrorPages {
		if err := CheckPath(text); err != nil {
			return fmt.Errorf("error_pages: %d: %w", status, err)
		}
		s.pages[status] = cleaned(text)
	}
	return nil
}
