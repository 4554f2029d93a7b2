// Mediatypes writes the table of media types that internal/mediatype is built with. It is made of Debian's
// mime.types, whose maintainers follow IANA's registry and give most extensions one type; of what mime-db knows
// beyond that; and of exceptions.txt, which comes before both.
//
//	npm pack mime-db@1.54.0
//	apt-get download media-types=10.0.0
//	dpkg-deb --fsys-tarfile media-types_10.0.0_all.deb | tar -xO ./etc/mime.types > mime.types
//	MEDIATYPES=$PWD go generate ./internal/mediatype
//
// Another version of a source needs its name and digest below.
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// source is a file that the table is made of.
type source struct{ name, title, digest string }

var (
	debian = source{"mime.types", "Debian's media-types 10.0.0",
		"c78c959dda2bea01af7f1ceab76e50a540dc168459b4d3d9df547f7a24cc386f"}
	mimeDB = source{"mime-db-1.54.0.tgz", "mime-db 1.54.0",
		"2b21054e65d0eabd58c5002d2713e968dd47b15700bfed4b7281a344ded1c420"}
)

//go:embed exceptions.txt
var exceptions string

const header = `# Media types and the file name extensions that stand for them, one type a line, sorted; no extension
# stands twice. Made by tools/mediatypes of %s and %s: change exceptions.txt there.
`

func main() {
	log.SetFlags(0)
	log.SetPrefix("mediatypes: ")
	in := flag.String("in", ".", "the folder that "+debian.name+" and "+mimeDB.name+" are in")
	out := flag.String("out", "types.txt", "the table")
	flag.Parse()
	table, err := build(*in)
	if err == nil {
		err = os.WriteFile(*out, table, 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// read returns a source's content.
func (s source) read(folder string) ([]byte, error) {
	p, err := os.ReadFile(filepath.Join(folder, s.name))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(p); hex.EncodeToString(sum[:]) != s.digest {
		return nil, fmt.Errorf("%s is not %s: its SHA-256 is %x", s.name, s.title, sum)
	}
	return p, nil
}

// types are media types by extension.
type types map[string]string

// extension is what a name can end with. Debian has "~" and "%" for backups.
var extension = regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]*$`)

// add keeps the type of an extension that has none yet.
func (t types) add(ext, mediaType string) {
	ext, mediaType = strings.ToLower(ext), strings.ToLower(mediaType)
	if _, known := t[ext]; !known && extension.MatchString(ext) {
		t[ext] = mediaType
	}
}

// addLines adds a table of lines with a type and its extensions.
func (t types) addLines(text string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 1 {
			for _, ext := range words[1:] {
				t.add(ext, words[0])
			}
		}
	}
}

// build makes the table: what is added first counts.
func build(folder string) ([]byte, error) {
	lines, err := debian.read(folder)
	if err != nil {
		return nil, err
	}
	archive, err := mimeDB.read(folder)
	if err != nil {
		return nil, err
	}
	entries, err := unpack(archive)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", mimeDB.name, err)
	}
	t := make(types)
	t.addLines(exceptions)
	t.addLines(string(lines))
	for _, e := range entries {
		for _, ext := range e.Extensions {
			t.add(ext, e.name)
		}
	}
	return t.table(), nil
}

// table is the file: by type, the extensions in order.
func (t types) table() []byte {
	extensions := make(map[string][]string)
	for _, ext := range slices.Sorted(maps.Keys(t)) {
		extensions[t[ext]] = append(extensions[t[ext]], ext)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, header, debian.title, mimeDB.title)
	for _, mediaType := range slices.Sorted(maps.Keys(extensions)) {
		fmt.Fprintln(&b, mediaType, strings.Join(extensions[mediaType], " "))
	}
	return b.Bytes()
}

// entry is a type of mime-db.
type entry struct {
	name       string
	Source     string
	Extensions []string
}

// unpack reads db.json out of the package, the types to be preferred first.
func unpack(archive []byte) ([]entry, error) {
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(z); ; {
		file, err := files.Next()
		if err == io.EOF {
			return nil, errors.New("it has no package/db.json")
		}
		if err != nil {
			return nil, err
		}
		if file.Name != "package/db.json" {
			continue
		}
		var db map[string]entry
		if err := json.NewDecoder(files).Decode(&db); err != nil {
			return nil, err
		}
		entries := make([]entry, 0, len(db))
		for name, e := range db {
			e.name = name
			entries = append(entries, e)
		}
		slices.SortFunc(entries, prefer)
		return entries, nil
	}
}

// prefer orders the types that claim the same extension: those that say more than "bytes", then the registered
// ones, then what is played or shown by itself.
func prefer(a, b entry) int {
	const bytes = "application/octet-stream"
	return cmp.Or(
		compareBool(a.name == bytes, b.name == bytes),
		cmp.Compare(place(a.Source, "iana", "apache", "nginx"), place(b.Source, "iana", "apache", "nginx")),
		cmp.Compare(kind(a.name), kind(b.name)),
		cmp.Compare(a.name, b.name),
	)
}

func kind(mediaType string) int {
	main, _, _ := strings.Cut(mediaType, "/")
	return place(main, "video", "audio", "image", "font", "application", "text", "model")
}

// place is where s stands in a list, its end if it does not.
func place(s string, list ...string) int {
	if i := slices.Index(list, s); i >= 0 {
		return i
	}
	return len(list)
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
