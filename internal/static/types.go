package static

import (
	_ "embed"
	"fmt"
	"mime"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
)

//go:generate go run -C ../../tools ./mediatypes -in $MEDIATYPES -out ../internal/static/types.txt

//go:embed types.txt
var typesText string

// defaultType is what a file of unknown kind is (RFC 9110 section 8.3): a
// browser with nosniff will offer to save it.
const defaultType = "application/octet-stream"

// builtinTypes maps an extension without its dot, in lower case, to its media type.
var builtinTypes = parseTypes(typesText)

func parseTypes(text string) map[string]string {
	types := make(map[string]string, 2048)
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		for _, ext := range words[1:] {
			types[ext] = withCharset(words[0])
		}
	}
	return types
}

// withCharset adds the charset to a built-in text type. XML and JSON say their own encoding.
func withCharset(mediaType string) string {
	if strings.HasPrefix(mediaType, "text/") && !strings.Contains(mediaType, ";") {
		return mediaType + "; charset=utf-8"
	}
	return mediaType
}

// mediaTypes is a site's own types in front of the built-in ones.
type mediaTypes map[string]string

// newMediaTypes checks the types of Options.
func newMediaTypes(own map[string]string) (mediaTypes, error) {
	types := make(mediaTypes, len(own))
	for ext, mediaType := range own {
		if err := CheckExtension(ext); err != nil {
			return nil, fmt.Errorf("types: %w", err)
		}
		if err := CheckMediaType(mediaType); err != nil {
			return nil, fmt.Errorf("types: %s: %w", ext, err)
		}
		types[strings.ToLower(ext[1:])] = mediaType
	}
	return types, nil
}

// CheckExtension says what is wrong with a key of Options.Types.
func CheckExtension(ext string) error {
	if len(ext) < 2 || ext[0] != '.' || strings.Contains(ext, "/") || !http1.IsValue(ext) {
		return fmt.Errorf("%q: want a file name's extension, such as .wasm", ext)
	}
	return nil
}

// CheckMediaType says what is wrong with a media type of Options. It is sent as it is written, without a charset where
// there is none: HTML, CSS and XML may name their own, and the field would overrule that.
func CheckMediaType(mediaType string) error {
	kind, _, err := mime.ParseMediaType(mediaType)
	if err != nil || !strings.Contains(kind, "/") || !http1.IsValue(mediaType) {
		return fmt.Errorf("%q: want a media type such as application/wasm", mediaType)
	}
	return nil
}

// of returns the media type of a file by its name: the longest extension that is known counts, so that .tar.gz may
// differ from .gz. The site's own, however short, come before the built-in ones. A name that only begins with a dot
// has no extension.
func (types mediaTypes) of(name string) string {
	name = strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	for _, known := range []map[string]string{types, builtinTypes} {
		for at := 1; at < len(name); at++ {
			if name[at] != '.' {
				continue
			}
			if t, ok := known[name[at+1:]]; ok {
				return t
			}
		}
	}
	return defaultType
}

// Loads reports whether a file of that name would be a part of a page rather than a page: a style
// sheet, a script, data, a font, an image, sound or film. Other types, and unknown extensions, may
// well be names in an application's own addresses: /users/jane.doe, /release/v1.2.
func (s *Site) Loads(path string) bool {
	kind, _, _ := strings.Cut(s.types.of(path), ";")
	main, sub, _ := strings.Cut(kind, "/")
	switch main {
	case "image", "font", "audio", "video":
		return true
	}
	switch sub {
	case "css", "javascript", "json", "manifest+json", "wasm", "vtt", "vnd.ms-fontobject":
		return true
	}
	return false
}
