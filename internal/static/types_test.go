package static

import (
	"os"
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
			if got := mediaTypes(nil).of("name." + ext); got != withCharset(words[0]) {
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
