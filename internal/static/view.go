package static

import (
	"errors"
	"fmt"
)

// ViewOptions are what a view of a root has of its own.
type ViewOptions struct {
	Listing bool
	Hide    []string // as in Options
	Links   Links
	ETag    ETag
	Type    string // the media type of every file; empty: as the first view has it
}

// errViews says that a root has no room for another view.
var errViews = errors.New("too many combinations of the options of paths: let fewer rules overlap")

// ViewOptions are those of the view itself.
func (s *Site) ViewOptions() ViewOptions {
	return ViewOptions{Listing: s.listing, Hide: s.hide, Links: s.links, ETag: s.etag, Type: s.only}
}

// View returns the view of the same root with those options, which is made if there is
// none yet. Views share the root, who looks after it, and the cache; Close closes all. It
// opens nothing and does not block: a loop may call it.
func (s *Site) View(opts ViewOptions) (*Site, error) {
	id := fmt.Sprintf("%t %q %d %d %q", opts.Listing, opts.Hide, opts.Links, opts.ETag, opts.Type)
	t := s.tree
	t.viewsMu.Lock()
	defer t.viewsMu.Unlock()
	if v := t.views[id]; v != nil {
		return v, nil
	}
	if len(t.views) == viewsMax-1 {
		return nil, errViews
	}
	v := *s
	v.view = uint64(len(t.views) + 1)
	v.listing, v.links, v.etag = opts.Listing, opts.Links, opts.ETag
	var err error
	if v.hide, err = newHidden(opts.Hide); err != nil {
		return nil, err
	}
	if v.only = opts.Type; v.only != "" {
		if v.only, err = newMediaType(opts.Type); err != nil {
			return nil, err
		}
	}
	if t.views == nil {
		t.views = make(map[string]*Site)
	}
	t.views[id] = &v
	return &v, nil
}

// Hides reports whether a decoded path is hidden.
func (s *Site) Hides(path []byte) bool { return s.hide.path(path) }

// typeOf is the media type of a file by its name.
func (s *Site) typeOf(name string) string {
	if s.only != "" {
		return s.only
	}
	return s.types.of(name)
}
