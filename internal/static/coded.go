package static

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/http1"
)

// sibling is a way in which a file may be stored beside itself, coded: a.js.gz.
type sibling struct {
	suffix string // of the name, with its dot
	coding http1.Coding
}

// siblings are all there are, by their names in Options.
var siblings = map[string]sibling{
	"br":  {".br", http1.CodingBrotli},
	"zst": {".zst", http1.CodingZstd},
	"gz":  {".gz", http1.CodingGzip},
}

// newSiblings checks the names of Options.
func newSiblings(names []string) (all []sibling, err error) {
	for _, name := range names {
		b, ok := siblings[name]
		if !ok {
			return nil, fmt.Errorf("precompressed: %q is no kind of file that clients can decode: want br, zst or gz", name)
		}
		all = append(all, b)
	}
	return all, nil
}

// varyField goes out with every answer of a file that has siblings, whatever
// the client accepts (RFC 9110 section 12.5.5).
const varyField = "Vary: Accept-Encoding\r\n"

// vary is varyField if it belongs to the content.
func (c *content) vary() string {
	if c.negotiable {
		return varyField
	}
	return ""
}

// siblingsKnown reports whether what is known of the entry's siblings will do
// for a request that accepts codings.
func (s *Site) siblingsKnown(e *entry, mono int64) bool {
	return len(s.siblings) == 0 || e.siblingsFresh(mono)
}

// siblingsFresh reports whether the siblings were looked at recently enough.
func (e *entry) siblingsFresh(mono int64) bool { return mono-e.siblings.Load() < e.life }

// siblings are those that the file l.name may have. One that is itself such a
// file has none.
func (l *look) siblings() []sibling {
	name := l.name[:len(l.name)-1]
	for _, b := range siblings {
		if bytes.HasSuffix(name, []byte(b.suffix)) {
			return nil
		}
	}
	return l.site.siblings
}

// openSibling opens a sibling of l.name, whose state is l.stat then. fd is -1
// if there is none that is served. The error is errWait, or a fault: there may be one.
func (l *look) openSibling(b sibling, peek bool) (fd int, err error) {
	l.sibling = append(append(append(l.sibling[:0], l.name[:len(l.name)-1]...), b.suffix...), 0)
	fd, err = l.root.open(l.sibling, l.site.links, peek, l.cached)
	if err == nil {
		if err = fstat(fd, &l.stat); err == nil {
			err = servable(l.stat.Mode)
		}
		if err != nil {
			l.site.closer.close(fd)
		}
	}
	if err == nil || err == errWait {
		return fd, err
	}
	l.noSibling(err)
	if fault(err) {
		return -1, err
	}
	return -1, nil
}

// noSibling tells the operator why a sibling that is there is not served.
func (l *look) noSibling(err error) {
	switch err {
	case unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG, unix.EISDIR, unix.ENODEV, unix.ENXIO:
		return
	}
	l.name, l.sibling = l.sibling, l.name // whose name is told
	l.failure(nil, err).Release()
	l.name, l.sibling = l.sibling, l.name
}

// variants makes the answers of the siblings of l.name, whose media type is
// the file's. unsettled: the next look may find others, since one has just changed, or because of a fault. It leaves
// l.stat changed. The only error is errWait.
func (l *look) variants(mediaType string) (all []*content, unsettled bool, err error) {
	for _, b := range l.siblings() {
		fd, err := l.openSibling(b, false)
		var c *content
		var recent bool
		if err == nil && fd >= 0 {
			c, recent, err = l.content(fd, &representation{mediaType: mediaType, coding: b.coding, negotiable: true})
			if err != nil && err != errWait {
				l.noSibling(err)
			}
		}
		switch {
		case err == errWait:
			release(all)
			return nil, false, err
		case err != nil:
			unsettled = true
		case c != nil:
			c.id = identityOf(&l.stat)
			all, unsettled = append(all, c), unsettled || recent
		}
	}
	return all, unsettled, nil
}

// siblingsUnchanged reports whether the siblings are still those of the old
// entry, or were looked at so short ago that they need not be. A request that
// accepts no coding has no use for them. It leaves l.stat changed. The only error is errWait.
func (l *look) siblingsUnchanged() (bool, error) {
	l.siblingsSeen = false
	if len(l.site.siblings) == 0 || l.cached && !l.negotiates || l.old.siblingsFresh(l.mono) {
		return true, nil
	}
	known := l.old.content.Load().variants
	for _, b := range l.siblings() {
		fd, err := l.openSibling(b, l.cached)
		switch {
		case err == errWait:
			return false, err
		case err != nil:
			return false, nil
		}
		var was *content
		if len(known) > 0 && known[0].coding == b.coding && !known[0].dynamic {
			was, known = known[0], known[1:]
		}
		if fd < 0 {
			if was != nil {
				return false, nil
			}
			continue
		}
		if l.cached {
			l.site.closePeek(fd, l.stat.Nlink > 0)
		} else {
			l.site.closer.close(fd)
		}
		if was == nil || was.id != identityOf(&l.stat) {
			return false, nil
		}
	}
	l.siblingsSeen = true
	return true, nil
}
