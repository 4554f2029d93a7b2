package config

import (
	"fmt"
	"mime"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The kinds of what concerns HTTP.
var (
	// A field value (RFC 9110 section 5.5) that we send: no control characters, not even a tab.
	fieldValue = text("text", "text without control characters, and no space at either end", isFieldValue)
	// A token (RFC 9110 section 5.6.2).
	fieldName = text("X-Name", "a field's name: letters, digits and hyphens", isToken)

	headerName = refuse(fieldName, "is a field that the server makes itself: leave it out", func(s string) bool {
		return slices.ContainsFunc(ownFields, func(own string) bool { return strings.EqualFold(s, own) })
	})

	hostName = kind{
		shape:  onlyText,
		parse:  func(s string) (any, error) { return parseHost(s) },
		format: asString, sample: "example.org", unique: true, schema: schemaOf("string"),
	}
	indexName = text("index.html", "the name of a file, without a slash", func(s string) bool {
		return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
	})
	hidePattern = kind{
		shape: onlyText,
		parse: func(s string) (any, error) {
			name := strings.TrimPrefix(s, "!")
			if _, err := path.Match(name, ""); err != nil || name == "" || strings.ContainsAny(name, "/\x00") {
				return nil, fmt.Errorf("%q: is no pattern for one name: write it like \".*\" or \"!.well-known\"", s)
			}
			return s, nil
		},
		format: asString, sample: `".*"`, schema: schemaOf("string"),
	}
	extension = text(".wasm", "a file name's extension, such as .wasm", func(s string) bool {
		return len(s) > 1 && s[0] == '.' && !strings.ContainsAny(s, "/\x00") && isFieldValue(s)
	})
	mediaType = text("application/wasm", "a media type such as application/wasm", func(s string) bool {
		kind, _, err := mime.ParseMediaType(s)
		return err == nil && strings.Contains(kind, "/") && isFieldValue(s)
	})
	// What a request's path is made of: decoded, so anything but control characters.
	sitePath     = text("/404.html", "a path of the site that begins with /, such as /404.html", isFilePath)
	fallbackPath = text("/index.html", "a path of the site that begins with /, such as /index.html, or \"\" for none", func(s string) bool {
		return s == "" || isFilePath(s)
	})
	tryPath = text("$path.html", "$path, $path with an ending such as $path.html, or a path of the site that begins with /", func(s string) bool {
		rest, ok := strings.CutPrefix(s, "$path")
		return ok && !hasControl(rest) && !hasDots(rest) || isFilePath(s)
	})
	pathPattern = decoded(text("/assets/**", "a pattern that begins with /, with * within a segment and ** across segments, and at most 9 of them", func(s string) bool {
		return isSitePath(s) && !strings.Contains(s, "***") && strings.Count(strings.ReplaceAll(s, "**", "*"), "*") <= wildcardsMax
	}))
	// What begins with two slashes is another host's; which host it is, is not for a request to say.
	redirectTarget = text("/new/$1", "a path that begins with one /, or a URL that begins with http:// or https:// and whose host has no $", func(s string) bool {
		return !hasControl(s) && !strings.Contains(s, " ") && (strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") || isWebURL(s) && !wildHost(s))
	})
	// Browsers write other scripts than ASCII in punycode, and that is what is compared.
	origin = text("https://example.org", "an origin such as https://example.org, without a path and in punycode, or *", func(s string) bool {
		u, err := url.Parse(s)
		if strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) {
			return false
		}
		return s == "*" || err == nil && isWebURL(s) && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
	})
	htpasswd = file("/etc/evhttpd/htpasswd")
)

// ownFields frame or date every answer; a configuration that sets them breaks HTTP.
var ownFields = []string{"Connection", "Content-Length", "Content-Range", "Date", "Keep-Alive", "Server", "Transfer-Encoding", "Upgrade"}

// refuse is k without the values of which wrong is true.
func refuse(k kind, why string, wrong func(s string) bool) kind {
	parse := k.parse
	k.parse = func(s string) (any, error) {
		if wrong(s) {
			return nil, fmt.Errorf("%q: %s", s, why)
		}
		return parse(s)
	}
	return k
}

// decoded is k, of patterns of decoded paths, without those that are written as in a URL. They match no path, or not
// the one that is meant, and what a rule was to protect would be open.
func decoded(k kind) kind {
	parse := k.parse
	k.parse = func(s string) (any, error) {
		v, err := parse(s)
		if plain := decodedPath(s); err == nil && plain != s {
			return nil, fmt.Errorf("%q: is not how a path is spelled when it is matched, which is decoded, without //, . and ..: write it as %q", s, plain)
		}
		return v, err
	}
	return k
}

// decodedPath is what the server makes of a request's path: without escapes, and dot and empty segments.
func decodedPath(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	s = b.String()
	plain := path.Clean(s)
	if last := s[strings.LastIndexByte(s, '/')+1:]; plain != "/" && (last == "" || last == "." || last == "..") {
		plain += "/"
	}
	return plain
}

// status is one of a few statuses, or any from least to most.
func status(least, most int, only ...int) kind {
	want := fmt.Sprintf("a status from %d to %d", least, most)
	schema := map[string]any{"type": "integer", "minimum": least, "maximum": most}
	if len(only) > 0 {
		want = "one of " + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(only)), ", "), "[]")
		schema = map[string]any{"enum": only}
	}
	return kind{
		shape: onlyNumber,
		parse: func(s string) (any, error) {
			n, err := strconv.Atoi(s)
			if err != nil || len(s) != 3 || n < least || n > most || len(only) > 0 && !slices.Contains(only, n) {
				return nil, fmt.Errorf("%q: want %s", s, want)
			}
			return n, nil
		},
		format: func(v any) string { return strconv.Itoa(v.(int)) },
		sample: strconv.Itoa(least),
		schema: schema,
	}
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func isFieldValue(s string) bool { return !hasControl(s) && strings.TrimSpace(s) == s }

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		alnum := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func isSitePath(s string) bool { return strings.HasPrefix(s, "/") && !hasControl(s) }

// isFilePath reports whether s can name a file of a site.
func isFilePath(s string) bool { return isSitePath(s) && !hasDots(s) }

func hasDots(s string) bool {
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// wildcardsMax bounds the wildcards of a pattern; a redirect counts them with one digit.
const wildcardsMax = 9

// wildHost reports whether there is a $ before the path of a URL.
func wildHost(s string) bool {
	_, rest, _ := strings.Cut(s, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return strings.Contains(rest, "$")
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// parseHost reads the host of a site, in lower case.
func parseHost(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	host := strings.ToLower(strings.TrimPrefix(s, "*."))
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil && ip.Is6() && strings.HasSuffix(inner, "]") {
			return "[" + ip.String() + "]", nil
		}
	}
	if name, port, ok := strings.Cut(host, ":"); ok && isHostName(name) {
		if _, err := strconv.ParseUint(port, 10, 16); err == nil {
			return "", fmt.Errorf("%q: a host has no port: want %s", s, name)
		}
	}
	if !isHostName(host) {
		return "", fmt.Errorf("%q: want a host such as example.org, *.example.org, [2001:db8::1], or * for any; other scripts in punycode (xn--...)", s)
	}
	return strings.ToLower(s), nil
}

// isHostName reports whether s is made of labels (underscores are in use, whatever RFC 1123 says).
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}
