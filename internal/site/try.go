package site

import (
	"fmt"
	"path"
	"strings"
)

// try is one of the files that are tried for a path.
type try struct {
	derived bool   // $path stands in front
	text    string // what is behind $path, or the whole path
}

// newTry checks an element of try_files.
func newTry(s string) (t try, err error) {
	rest, derived := strings.CutPrefix(s, "$path")
	if !derived && !strings.HasPrefix(s, "/") {
		return t, fmt.Errorf("%q: want $path, $path with an ending such as $path.html, or a path of the site that begins with /", s)
	}
	if hasDots(rest) {
		return t, fmt.Errorf("%q: want a path without dot segments (. and ..) in it", s)
	}
	if !derived {
		rest = cleaned(rest)
	}
	return try{derived: derived, text: rest}, nil
}

// newSitePath checks a path of the site.
func newSitePath(s string) (string, error) {
	if !strings.HasPrefix(s, "/") || hasDots(s) || strings.Contains(s, "\x00") {
		return "", fmt.Errorf("%q: want a path of the site that begins with / and has no dot segments (. and ..) in it", s)
	}
	return cleaned(s), nil
}

func hasDots(s string) bool {
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// cleaned is a path without empty segments, as http1.AppendPath makes it of a request's.
func cleaned(s string) string {
	clean := path.Clean(s)
	if strings.HasSuffix(s, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// of is the path that is tried for the request's path. directory: only a directory counts,
// whose slash is missing. ok: there is something to try.
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
