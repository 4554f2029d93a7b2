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

// siblings are those that l.file may have. One that is itself such a file has none.
func (l *look) siblings() []sibling {
	name := l.file.name[:len(l.file.name)-1]
	for _, b := range siblings {
		if bytes.HasSuffix(name, []byte(b.suffix)) {
			return nil
		}
	}
	return l.site.siblings
}

// findSibling looks for a sibling of l.file, which is l.sibling then, and opens it if open is set. there: it is there, and
// one that is served. The error is errWait, or a fault: there may be one.
func (l *look) findSibling(b sibling, open bool) (there bool, err error) {
	name := l.file.name[:len(l.file.name)-1]
	l.sibling.name = append(append(append(l.sibling.name[:0], name...), b.suffix...), 0)
	if open {
		err = l.openFile(&l.sibling)
	} else {
		err = l.check(&l.sibling)
	}
	if err == nil || err == errWait {
		return err == nil, err
	}
	l.noSibling(err)
	if fault(err) {
		return false, err
	}
	return false, nil
}

// noSibling tells the operator why a sibling that is there is not served.
func (l *look) noSibling(err error) {
	switch err {
	case unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG, unix.EISDIR, unix.ENODEV, unix.ENXIO:
		return
	}
	l.failure(nil, l.sibling.name, err).Release()
}

// variants makes the contents of the siblings of l.file, whose media type is the file's. unsettled: the next look may find
// others, since one has just changed, or because of a fault. The only error is errWait.
func (l *look) variants(mediaType string) (all []*content, unsettled bool, err error) {
	for _, b := range l.siblings() {
		there, err := l.findSibling(b, true)
		var c *content
		var recent bool
		if there {
			c, recent, err = l.content(&l.sibling, &representation{mediaType: mediaType, coding: b.coding, negotiable: true})
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
			c.id = identityOf(&l.sibling.stat)
			all, unsettled = append(all, c), unsettled || recent
		}
	}
	return all, unsettled, nil
}

// siblingsUnchanged reports whether the siblings are still those of the old entry, or were looked at so short ago that they
// need not be. A request that accepts no coding has no use for them. The only error is errWait.
func (l *look) siblingsUnchanged() (bool, error) {
	l.siblingsSeen = false
	if len(l.site.siblings) == 0 || l.cached && !l.negotiates || l.old.siblingsFresh(l.mono) {
		return true, nil
	}
	known := l.old.content.Load().variants
	for _, b := range l.siblings() {
		there, err := l.findSibling(b, false)
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
		if there != (was != nil) || there && was.id != identityOf(&l.sibling.stat) {
			return false, nil
		}
	}
	l.siblingsSeen = true
	return true, nil
}
