package static

import (
	"errors"
	"fmt"
	"strconv"
)

// ViewOptions are what a view of a root has of its own.
type ViewOptions struct {
	Listing bool     // directories without an index file are listed
	Hide    []string // patterns of names that are not served, see hidden
	Links   Links    // which symbolic links beneath the root are followed
	ETag    ETag     // what entity tags are made of
	Type    *string  // the media type of every file, as it is sent; empty: none is; nil: as the first view has it
	Encoded bool     // a field of the configuration says that the files are encoded: no variants stand in for them
}

// viewsMax bounds the views of a root, because each takes memory for as long as the root is served.
const viewsMax = 1 << 16

// errViews says that a root has no room for another view.
var errViews = errors.New("too many combinations of the options of paths: let fewer rules overlap")

// ViewOptions are those of the view itself.
func (s *Site) ViewOptions() ViewOptions { return s.options }

func (o ViewOptions) id() string {
	mediaType := "by name"
	if o.Type != nil {
		mediaType = strconv.Quote(*o.Type)
	}
	return fmt.Sprintf("%t %q %d %d %s %t", o.Listing, o.Hide, o.Links, o.ETag, mediaType, o.Encoded)
}

// View returns the view of the same root with those options, which is made if there is none yet. Views share the root
// and the cache, and Close closes all of them. View opens nothing and does not block: a loop may call it. It returns
// the same whichever view it is called of.
func (s *Site) View(opts ViewOptions) (*Site, error) {
	id, t := opts.id(), s.tree
	if id == s.options.id() {
		return s, nil
	}
	t.viewsMu.Lock()
	defer t.viewsMu.Unlock()
	if v := t.views[id]; v != nil {
		return v, nil
	}
	if len(t.views) == viewsMax {
		return nil, errViews
	}
	v := *s
	v.options, v.view = opts, uint32(len(t.views)+1)
	if v.precompressed, v.compress = t.allPrecompressed, t.allCompress; opts.Encoded {
		v.precompressed, v.compress = nil, nil
	}
	var err error
	if v.hide, err = newHidden(opts.Hide); err != nil {
		return nil, err
	}
	if t.views == nil {
		t.views = make(map[string]*Site)
	}
	t.views[id] = &v
	return &v, nil
}

// Hides reports whether a decoded path is hidden.
func (s *Site) Hides(path []byte) bool { return s.hide.path(path) }

// TypeOf is the media type of a file by its name; empty: none is sent.
func (s *Site) TypeOf(name string) string {
	if s.options.Type != nil {
		return *s.options.Type
	}
	return s.types.Of(name)
}
