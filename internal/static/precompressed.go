package static

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/http1"
)

// precompression is a way in which a file may be stored beside itself, encoded: a.js.gz beside a.js.
type precompression struct {
	suffix string // of the file's name, with its dot
	coding http1.Coding
}

// precompressions are all there are, by their names in Options.
var precompressions = map[string]precompression{
	"br":  {".br", http1.CodingBrotli},
	"zst": {".zst", http1.CodingZstd},
	"gz":  {".gz", http1.CodingGzip},
}

// named returns what is known by each of the names, which are the values of a key of Options.
func named[T any](key string, names []string, known map[string]T, want string) (all []T, err error) {
	for _, name := range names {
		v, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("%s: %q is no %s", key, name, want)
		}
		all = append(all, v)
	}
	return all, nil
}

// varyField goes out with every answer of a file that has precompressed variants, whatever the client accepts (RFC 9110
// section 12.5.5).
const varyField = "Vary: Accept-Encoding\r\n"

// vary is varyField if it belongs to the content.
func (c *content) vary() string {
	if c.negotiable {
		return varyField
	}
	return ""
}

// precompressedFresh reports whether the precompressed variants were looked at recently enough.
func (e *entry) precompressedFresh(mono int64) bool {
	return mono-e.precompressedLooked.Load() < e.life
}

// precompressed is how l.file may be precompressed. A file that is itself such a variant has none.
func (l *look) precompressed() []precompression {
	name := l.file.name[:len(l.file.name)-1]
	for _, b := range precompressions {
		if bytes.HasSuffix(name, []byte(b.suffix)) {
			return nil
		}
	}
	return l.site.precompressed
}

// findPrecompressed looks for a precompressed variant of l.file, which is l.variant then, and opens it if open is set.
// there: it exists, and is served. The error is errWait or a fault, which says that there may be one.
func (l *look) findPrecompressed(b precompression, open bool) (there bool, err error) {
	name := l.file.name[:len(l.file.name)-1]
	l.variant.name = append(append(append(l.variant.name[:0], name...), b.suffix...), 0)
	if open {
		err = l.openFile(&l.variant)
	} else {
		err = l.check(&l.variant)
	}
	if err == nil || err == errWait {
		return err == nil, err
	}
	if l.reportPrecompressed(err); !fault(err) {
		err = nil
	}
	return false, err
}

// reportPrecompressed tells the operator why a precompressed variant that exists is not served.
func (l *look) reportPrecompressed(err error) {
	switch err {
	case unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG, unix.EISDIR, unix.ENODEV, unix.ENXIO:
		return
	}
	l.failure(nil, l.variant.name, err).Release()
}

// variants makes the contents of the precompressed variants of l.file, whose media type is the file's. unsettled: the
// next look may find others, because one has just changed, or because of a fault. The only error is errWait.
func (l *look) variants(mediaType string) (all []*content, unsettled bool, err error) {
	for _, b := range l.precompressed() {
		there, err := l.findPrecompressed(b, true)
		var c *content
		var recent bool
		if there {
			r := representation{mediaType: mediaType, coding: b.coding, negotiable: true}
			c, recent, err = l.content(&l.variant, &r)
			if err != nil && err != errWait {
				l.reportPrecompressed(err)
			}
		}
		switch {
		case err == errWait:
			release(all)
			return nil, false, err
		case err != nil:
			unsettled = true
		case c != nil:
			c.id = identityOf(&l.variant.stat)
			all, unsettled = append(all, c), unsettled || recent
		}
	}
	return all, unsettled, nil
}

// precompressedUnchanged reports whether the precompressed variants are still those of the old entry, or were looked at
// so short ago that they need not be. A request that accepts no coding has no use for them. The only error is errWait.
func (l *look) precompressedUnchanged() (bool, error) {
	l.precompressedSeen = false
	if len(l.site.precompressed) == 0 || l.cached && !l.negotiates || l.old.precompressedFresh(l.mono) {
		return true, nil
	}
	known := l.old.content.Load().variants
	for _, b := range l.precompressed() {
		there, err := l.findPrecompressed(b, false)
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
		if there != (was != nil) || there && was.id != identityOf(&l.variant.stat) {
			return false, nil
		}
	}
	l.precompressedSeen = true
	return true, nil
}
