package site

import (
	"fmt"
	"path"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
)

// try is one of the files that are tried for a path.
type try struct {
	derived bool   // the path is made of the request's: $path stands in front
	text    string // the ending behind $path, or the whole path
}

// newTry returns an element of try_files, checked.
func newTry(s string) (try, error) {
	rest, derived := strings.CutPrefix(s, "$path")
	if !derived {
		rest = cleaned(rest)
	}
	return try{derived: derived, text: rest}, CheckTry(s)
}

// CheckTry says what is wrong with an element of Site.TryFiles.
func CheckTry(s string) error {
	if rest, derived := strings.CutPrefix(s, "$path"); derived && isPath("/"+rest) || isPath(s) {
		return nil
	}
	return fmt.Errorf("%q: want $path, $path with an ending such as $path.html, or a path of the site that "+
		"begins with /",
		s)
}

// CheckPath says what is wrong with a path of Site.ErrorPages.
func CheckPath(s string) error {
	if !isPath(s) {
		return fmt.Errorf("%q: want a path of the site that begins with /, such as /404.html", s)
	}
	return nil
}

// CheckFallback says what is wrong with Site.Fallback.
func CheckFallback(s string) error {
	if s != "" && !isPath(s) {
		return fmt.Errorf("%q: want a path of the site that begins with /, such as /index.html, or \"\" for none", s)
	}
	return nil
}

// isPath reports whether s can name a file of a site: decoded, without dot segments and control characters.
func isPath(s string) bool {
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return strings.HasPrefix(s, "/") && !http1.HasControl(s)
}

// cleaned is a path without empty and dot segments, as http1.AppendPath makes it of a request's.
func cleaned(s string) string {
	clean := path.Clean(s)
	if last := s[strings.LastIndexByte(s, '/')+1:]; clean != "/" && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean
}

// of is the path that is tried for the request's path. directory says that only a directory counts there, whose slash
// is missing. ok is false if there is nothing to try.
func (t try) of(request string) (file string, directory, ok bool) {
	switch slashed := strings.HasSuffix(request, "/"); {
	case !t.derived:
		return t.text, false, true
	case t.text == "" || t.text == "/" && slashed:
		return request, false, true
	case t.text == "/":
		return request, true, true
	case slashed && t.text[0] != '/':
		return "", false, false // "/docs/" and ".html": no name for a file
	}
	return cleaned(request + t.text), false, true
}
