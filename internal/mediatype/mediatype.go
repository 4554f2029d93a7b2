// Package mediatype says of which media type a file is by its name, and what that means for how it is served.
//
// It imports http1.
package mediatype

import (
	_ "embed"
	"fmt"
	"mime"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
)

//go:generate go run -C ../../tools ./mediatypes -in $MEDIATYPES -out ../internal/mediatype/types.txt

//go:embed types.txt
var typesText string

// defaultType is that of a file of unknown kind (RFC 9110 section 8.3). A browser that is told nosniff offers to save
// it.
const defaultType = "application/octet-stream"

// builtinTypes are by extension, in lower case and without its dot.
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

// Table has media types by extension, before the built-in ones. The zero value has only those.
type Table map[string]string

// New returns a table of media types by extension (.wasm), if they are well-formed.
func New(own map[string]string) (Table, error) {
	types := make(Table, len(own))
	for ext, mediaType := range own {
		if err := CheckExtension(ext); err != nil {
			return nil, fmt.Errorf("types: %w", err)
		}
		if err := Check(mediaType); err != nil {
			return nil, fmt.Errorf("types: %s: %w", ext, err)
		}
		types[strings.ToLower(ext[1:])] = mediaType
	}
	return types, nil
}

// CheckExtension says what is wrong with an extension.
func CheckExtension(ext string) error {
	if len(ext) < 2 || ext[0] != '.' || strings.Contains(ext, "/") || !http1.IsValue(ext) {
		return fmt.Errorf("%q: want a file name's extension, such as .wasm", ext)
	}
	return nil
}

// Check says what is wrong with a media type of a configuration. It is sent as it is written, without a charset where
// there is none: HTML, CSS and XML may name their own, and the field would overrule that.
func Check(mediaType string) error {
	kind, _, err := mime.ParseMediaType(mediaType)
	if err != nil || !strings.Contains(kind, "/") || !http1.IsValue(mediaType) {
		return fmt.Errorf("%q: want a media type such as application/wasm", mediaType)
	}
	return nil
}

// Of returns the media type of a file by its name. The longest extension that is known counts, so that .tar.gz may
// differ from .gz. The table's own, however short, come before the built-in ones. A name that only begins with a dot
// has no extension.
func (types Table) Of(name string) string {
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

// OfPart reports whether a file of that type is a part of a page rather than a page: a style sheet, a script, data, a
// font, an image, sound or film. An extension of another type, or an unknown one, may well belong to a name in an
// application's own addresses: /users/jane.doe, /release/v1.2.
func OfPart(mediaType string) bool {
	kind, _, _ := strings.Cut(mediaType, ";")
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

// Compressible reports whether files of that type shrink: text, and what is text inside.
func Compressible(mediaType string) bool {
	kind, _, _ := strings.Cut(mediaType, ";")
	if strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml") {
		return true
	}
	switch kind {
	case "application/javascript", "application/json", "application/xml", "application/wasm", "application/rtf",
		"application/vnd.ms-fontobject", "font/ttf", "font/otf", "font/collection",
		"image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	}
	return false
}
