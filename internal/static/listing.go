package static

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/http1"
)

const (
	// listedMax bounds the entries of one listing; a line below it says how many more there are.
	listedMax = 10_000
	// countedMax bounds how many names of one directory are read at all.
	countedMax = 1_000_000
	// namesBatch is how many names are read at a time.
	namesBatch = 1024
)

const listingStyle = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:60rem;padding:0 1rem}` +
	`h1{font-size:1.2rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}` +
	`th,td{padding:.3rem .5rem;text-align:left}td:first-child{overflow-wrap:anywhere;white-space:pre-wrap}` +
	`th:nth-child(2),td:nth-child(2){text-align:right}td:nth-child(n+2){white-space:nowrap;font-variant-numeric:tabular-nums}` +
	`tbody tr:nth-child(odd){background:#8881}a{text-decoration:none}a:hover{text-decoration:underline}` +
	`@media(max-width:34rem){th:nth-child(3),td:nth-child(3){display:none}}`

// listingFields go out with every listing. The policy lets nothing run, load or be sent,
// whatever a name might bring in; a listing changes without its directory's mtime (sizes),
// so that caches ask each time.
var listingFields = func() string {
	sum := sha256.Sum256([]byte(listingStyle))
	return "Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\n" +
		"Content-Security-Policy: default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'\r\n"
}()

// listed is one line of a listing.
type listed struct {
	name  string
	dir   bool
	size  int64
	mtime int64 // nanoseconds since 1970
}

// list makes the listing of a directory, whose path ends with a slash. It waits for the disk.
func (l *look) list(path string) (*entry, error) {
	l.name = append(append(l.name[:0], path[1:]...), '.', 0)
	fd, err := l.root.open(l.name, false, false)
	if err != nil {
		return nil, err
	}
	if err := unix.Fstat(fd, &l.stat); err != nil {
		unix.Close(fd)
		return nil, err
	}
	id := identityOf(&l.stat)
	rows, more, err := l.rows(fd, path)
	if err != nil {
		return nil, err
	}
	s := l.site
	c := &content{body: appendListing(nil, path, rows, more)}
	c.size = int64(len(c.body))
	c.head = appendLength(append(append(c.head, s.statusOK...), listingFields...), c.size)
	e := newEntry(kindListing, path, c)
	e.id = id
	return l.entry(e), nil
}

// rows reads the directory fd, which it closes. more is the number of names
// beyond listedMax.
func (l *look) rows(fd int, path string) (rows []listed, more int, err error) {
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	for read := 0; read < countedMax; {
		names, err := dir.Readdirnames(namesBatch)
		for _, name := range names {
			if l.site.hide.name(name) {
				continue
			}
			if len(rows) == listedMax {
				more++
			} else if row, ok := l.row(fd, path, name); ok {
				rows = append(rows, row)
			}
		}
		read += len(names)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, 0, unwrapErrno(err)
		}
	}
	slices.SortFunc(rows, func(a, b listed) int {
		if a.dir != b.dir {
			if a.dir {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.name, b.name)
	})
	return rows, more, nil
}

// unwrapErrno returns the errno behind an error of package os.
func unwrapErrno(err error) error {
	if sys, ok := err.(*os.PathError); ok {
		return sys.Err
	}
	if sys, ok := err.(*os.SyscallError); ok {
		return sys.Err
	}
	return err
}

// row describes one name. ok: a request for it would be answered.
func (l *look) row(dir int, path, name string) (row listed, ok bool) {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return row, false // gone meanwhile
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		l.name = append(append(append(l.name[:0], path[1:]...), name...), 0)
		fd, err := l.root.open(l.name, false, false)
		if err != nil {
			return row, false
		}
		err = unix.Fstat(fd, &st)
		unix.Close(fd)
		if err != nil {
			return row, false
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return listed{name: name, dir: true, mtime: st.Mtim.Nano()}, true
	case unix.S_IFREG:
		return listed{name: name, size: st.Size, mtime: st.Mtim.Nano()}, true
	}
	return row, false
}

// appendListing writes the page. Links begin with "./", so that a colon in a
// name makes no scheme of what stands before it (RFC 3986 section 4.2).
func appendListing(b []byte, path string, rows []listed, more int) []byte {
	b = slices.Grow(b, 1024+len(listingStyle)+len(rows)*160)
	b = append(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>"...)
	b = appendText(b, path)
	b = append(b, "</title>\n<style>"+listingStyle+"</style>\n</head>\n<body>\n<h1>"...)
	b = appendText(b, path)
	b = append(b, "</h1>\n<table>\n<thead><tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr></thead>\n<tbody>\n"...)
	if path != "/" {
		b = append(b, "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n"...)
	}
	for i := range rows {
		b = appendRow(b, &rows[i])
	}
	b = append(b, "</tbody>\n</table>\n"...)
	switch {
	case more > 0:
		b = append(strconv.AppendInt(append(b, "<p>and "...), int64(more), 10), " more, not listed</p>\n"...)
	case len(rows) == 0:
		b = append(b, "<p>nothing here</p>\n"...)
	}
	return append(b, "</body>\n</html>\n"...)
}

func appendRow(b []byte, row *listed) []byte {
	end := ""
	if row.dir {
		end = "/"
	}
	link := append(http1.AppendEscapedPath([]byte("./"), []byte(row.name)), end...)
	b = append(b, "<tr><td><a href=\""...)
	b = append(b, html.EscapeString(string(link))...)
	b = append(b, "\">"...)
	b = append(appendText(b, row.name), end...)
	b = append(b, "</a></td><td>"...)
	if !row.dir {
		b = appendSize(b, row.size)
	}
	b = append(b, "</td><td>"...)
	b = time.Unix(0, row.mtime).UTC().AppendFormat(b, "2006-01-02 15:04")
	return append(b, "</td></tr>\n"...)
}

// appendText writes a name as HTML text. Bytes that are not UTF-8, and control characters,
// which HTML does not allow, become U+FFFD.
func appendText(b []byte, name string) []byte {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, name)
	return append(b, bytes.ToValidUTF8([]byte(html.EscapeString(name)), []byte("\uFFFD"))...)
}

// appendSize writes a size in bytes for people: three digits and a binary unit.
func appendSize(b []byte, size int64) []byte {
	if size < 1024 {
		return append(strconv.AppendInt(b, size, 10), " B"...)
	}
	const units = "KMGTPE"
	n, unit := float64(size)/1024, 0
	for n >= 1023.5 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	decimals := 0
	if n < 9.95 {
		decimals = 1
	}
	return append(strconv.AppendFloat(b, n, 'f', decimals, 64), ' ', units[unit], 'i', 'B')
}
