package mediatype

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// served are extensions that browsers, players and installers act on, with the types that they want.
const served = `
text/html html htm
application/xhtml+xml xhtml
text/css css
text/javascript js mjs cjs
application/json json map topojson
application/ld+json jsonld
application/jsonl jsonl
application/x-ndjson ndjson
application/manifest+json webmanifest
application/wasm wasm
application/xml xml xsl
application/atom+xml atom
application/rss+xml rss
text/plain txt log ini conf py go rs c h java sh sql diff patch lock pub asc
text/markdown md
text/csv csv
application/yaml yaml yml
application/toml toml
text/calendar ics
text/vcard vcf
image/png png
image/apng apng
image/jpeg jpg jpeg jfif
image/gif gif
image/webp webp
image/avif avif
image/jxl jxl
image/heic heic
image/svg+xml svg
image/bmp bmp
image/tiff tif tiff
image/x-icon ico
image/vnd.adobe.photoshop psd
audio/mpeg mp3
audio/mp4 m4a m4b
audio/aac aac
audio/ogg ogg oga opus
audio/flac flac
audio/wav wav
audio/midi mid midi
audio/webm weba
audio/x-mod mod
audio/x-matroska mka
video/mp4 mp4 m4v
video/webm webm
video/ogg ogv
video/quicktime mov
video/x-matroska mkv
video/x-msvideo avi
video/mpeg mpg mpeg
video/mp2t ts mts m2ts
video/3gpp 3gp
application/vnd.apple.mpegurl m3u8
audio/mpegurl m3u
application/dash+xml mpd
text/vtt vtt
text/plain srt
text/x-ssa ass ssa
font/woff woff
font/woff2 woff2
font/ttf ttf
font/otf otf
font/collection ttc
application/vnd.ms-fontobject eot
application/pdf pdf
application/epub+zip epub
application/x-mobipocket-ebook mobi prc
application/vnd.amazon.mobi8-ebook azw3
application/vnd.comicbook+zip cbz
application/postscript ps eps
application/rtf rtf
application/msword doc
application/vnd.ms-excel xls
application/vnd.ms-powerpoint ppt
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.oasis.opendocument.text odt
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.apple.keynote key
application/zip zip
application/gzip gz tgz tar.gz
application/x-tar tar
application/x-bzip2 bz2 tar.bz2
application/x-xz xz tar.xz
application/zstd zst
application/x-7z-compressed 7z
application/vnd.rar rar
application/java-archive jar
application/vnd.android.package-archive apk
application/vnd.debian.binary-package deb
application/x-rpm rpm
application/x-msi msi
application/vnd.microsoft.portable-executable exe dll
application/x-apple-diskimage dmg
application/vnd.appimage appimage
application/msix msix
application/msixbundle msixbundle
application/appx appx
application/appxbundle appxbundle
application/appinstaller appinstaller
application/vnd.apple.pkpass pkpass
application/x-chrome-extension crx
application/x-xpinstall xpi
application/octet-stream pkg aab iso img bin
application/x-bittorrent torrent
application/gpx+xml gpx
application/vnd.google-earth.kml+xml kml
application/vnd.google-earth.kmz kmz
application/geo+json geojson
application/vnd.apache.parquet parquet
application/vnd.sqlite3 sqlite
model/stl stl
model/obj obj
model/gltf+json gltf
model/gltf-binary glb
model/vnd.usdz+zip usdz
model/3mf 3mf
model/step step
application/x-x509-ca-cert crt
application/pkix-cert cer
application/pgp-signature sig
message/rfc822 eml
`

// TestTypesThatPeopleServe has the value of each common extension that browsers, players and installers act on.
func TestTypesThatPeopleServe(t *testing.T) {
	n := 0
	for line := range strings.Lines(served) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		for _, ext := range words[1:] {
			n++
			if got := Table(nil).Of("name." + ext); got != withCharset(words[0]) {
				t.Errorf(".%s: %s, want %s", ext, got, words[0])
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d extensions", n)
	}
}

// TestTypesHaveTheExceptions: the table was made after the last change of what comes before its sources.
func TestTypesHaveTheExceptions(t *testing.T) {
	text, err := os.ReadFile("../../tools/mediatypes/exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		for i := 1; i < len(words); i++ {
			if got := builtinTypes[words[i]]; got != withCharset(words[0]) {
				t.Errorf(".%s is %q, want %s: see go:generate", words[i], got, words[0])
			}
		}
	}
}

// TestTypes holds the table to its form, and names to their types.
func TestTypes(t *testing.T) {
	form := regexp.MustCompile(`^[a-z-]+/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$`)
	extension := regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]*$`)
	seen := map[string]string{}
	last := ""
	for line := range strings.Lines(typesText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 || !form.MatchString(words[0]) || words[0] <= last {
			t.Errorf("line %q", line)
			continue
		}
		last = words[0]
		for _, ext := range words[1:] {
			if before, twice := seen[ext]; twice || !extension.MatchString(ext) {
				t.Errorf("%q of %s is bad or belongs to %s too", ext, words[0], before)
			}
			seen[ext] = words[0]
		}
	}
	if len(seen) < 1000 {
		t.Errorf("only %d extensions", len(seen))
	}
	types, err := New(map[string]string{".wasm": "application/x-own", ".Foo.Bar": "text/x-foo",
		".lat": "text/plain; charset=latin1", ".gz": "application/x-mine", ".d.x": "application/x-long"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"index.html": "text/html; charset=utf-8", "INDEX.HTM": "text/html; charset=utf-8",
		"a.css":         "text/css; charset=utf-8",
		"jquery.min.js": "text/javascript; charset=utf-8", "m.mjs": "text/javascript; charset=utf-8",
		"a.json": "application/json",
		"a.svg":  "image/svg+xml", "a.xml": "application/xml", "a.png": "image/png", "a.JPG": "image/jpeg",
		"a.woff2":  "font/woff2",
		"a.tar.gz": "application/x-mine", "a.tar.bz2": "application/x-bzip2", "a.d.x": "application/x-long",
		"a.mp4": "video/mp4", "a.webp": "image/webp", "a.avif": "image/avif", "a.pdf": "application/pdf",
		"a.txt": "text/plain; charset=utf-8", "a.md": "text/markdown; charset=utf-8",
		"README":  "application/octet-stream",
		".bashrc": "application/octet-stream", ".html": "application/octet-stream", "a.": "application/octet-stream",
		"dir.html/file": "application/octet-stream",
		"a.wasm":        "application/x-own", "a.foo.bar": "text/x-foo", "a.lat": "text/plain; charset=latin1",
		"a.go": "text/plain; charset=utf-8",
	} {
		if got := types.Of(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestCompressible(t *testing.T) {
	var types Table
	for name, want := range map[string]bool{
		"a.html": true, "a.css": true, "a.js": true, "a.json": true, "a.svg": true, "a.wasm": true, "a.xml": true,
		"a.txt": true,
		"a.ttf": true, "a.ico": true, "a.webmanifest": true, "a.atom": true,
		"a.png": false, "a.jpg": false, "a.mp4": false, "a.zip": false, "a.gz": false, "a.woff2": false, "a.pdf": false,
		"a": false,
	} {
		if got := Compressible(types.Of(name)); got != want {
			t.Errorf("%s (%s): %v", name, types.Of(name), got)
		}
	}
}
