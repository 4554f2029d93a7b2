package listing

import (
	"bytes"
	_ "embed"
	"html"
	"strconv"
	"strings"
	"text/template"
)

const (
	// crumbsMax is how many directories above are linked.
	crumbsMax = 16
	// readmePiece is how much of a README is escaped at a time, in bytes.
	readmePiece = 4 << 10
)

//go:embed style.css
var styleText string

// style is the only style sheet. Its hash stands in the policy, and icons are drawn, so that nothing is loaded.
var style = strings.ReplaceAll(styleText, "\n", "")

//go:embed page.html
var pageText string

// page has a template for each part that is not made of rows. It is one of text, since html/template escapes more than
// is needed: a name is escaped by the function text, and nothing else comes from a client or the file system.
var page = template.Must(template.New("").Funcs(template.FuncMap{
	"text":    func(name string) string { return string(appendText(nil, name)) },
	"grouped": grouped,
	"size": func(n int64) string {
		return `<span title="` + grouped(n) + ` bytes">` + string(appendSize(nil, n)) + "</span>"
	},
	"count": func(n int64, noun string) string {
		if n != 1 {
			noun += "s"
		}
		return grouped(n) + " " + noun
	},
}).Parse(pageText))

func grouped(n int64) string { return string(appendGrouped(nil, n)) }

// appendHTML renders what is not a row.
func (r *Renderer) appendHTML(b []byte) []byte {
	name := [partDone]string{partHead: "head", partBelow: "below", partEnd: "end"}[r.part]
	if r.part == partReadme && r.showsReadme() {
		piece := r.dir.readmeText[r.readme:]
		piece = piece[:min(len(piece), readmePiece)]
		b = appendEscaped(b, piece)
		if r.readme += len(piece); r.readme < len(r.dir.readmeText) {
			return b
		}
	}
	r.part++
	if name == "" {
		return b
	}
	to := bytes.NewBuffer(b)
	if err := page.ExecuteTemplate(to, name, r.shown()); err != nil {
		panic(err) // a mistake in the template: writing to a Buffer does not fail
	}
	return to.Bytes()
}

// crumb is a link to a directory above. The references are relative, so that they hold behind a proxy that takes a
// prefix away.
type crumb struct {
	Up   string // "../" for each step; empty: the directory itself
	Name string
}

// column is the head of a column. Its link sorts by the column, or in the other direction if that is so already.
type column struct {
	Title, Reference string
	Order            string // of the rows, if they are sorted by the column
}

// shown is what the templates show of the directory.
func (r *Renderer) shown() map[string]any {
	d, q := r.dir, r.query
	var crumbs []crumb
	names := strings.Split(strings.TrimSuffix(d.Key.Path, "/"), "/")
	above := len(names) - 1
	if above > 0 {
		names[0] = "Home"
		for i := max(0, min(above, above-crumbsMax+1)); i <= above; i++ {
			crumbs = append(crumbs, crumb{strings.Repeat("../", above-i), names[i]})
		}
	}
	var columns []column
	for by, title := range [sortKeys]string{"Name", "Size", `Modified <span class="u">(UTC)</span>`} {
		other, order := Query{sort: sortKey(by)}, ""
		if q.sort == other.sort {
			other.descending, order = !q.descending, q.order()
		}
		columns = append(columns, column{title, other.reference(), order})
	}
	shown := map[string]any{
		"path": d.Key.Path, "style": style, "crumbs": crumbs, "cut": above > crumbsMax, "columns": columns,
		"folders": int64(d.dirs), "files": int64(d.n - d.dirs), "omitted": int64(d.omitted), "bytes": d.bytes,
		"page": q.page, "pages": int32(d.pages()), "previous": q.page - 1, "next": q.page + 1,
		"at": func(page int32) string { q.page = page; return q.reference() },
	}
	if r.showsReadme() {
		shown["readme"] = d.readme
		if d.readmeSize > ReadmeMax { // without a link: the one above is to be the only one
			shown["readmeSize"] = d.readmeSize
		}
	}
	return shown
}

// showsReadme reports whether the README stands on this page: the first one, or the only one.
func (r *Renderer) showsReadme() bool { return len(r.dir.readmeText) > 0 && r.query.page <= 1 }

// appendRow appends a row, for people and for programs that read listings with patterns: the link holds the name and
// nothing else, and the cells hold size and time as text without markup.
func appendRow(b, name []byte, r *row) []byte {
	if r.Kind == KindDirectory {
		b = append(b, "<tr class=\"d\">"...)
	} else {
		b = append(b, "<tr>"...)
	}
	b = appendRowReference(append(b, "<th scope=\"row\"><a href=\""...), name, r.Kind == KindDirectory)
	b = appendText(append(b, "\">"...), string(name))
	if r.Kind == KindDirectory {
		b = append(b, '/')
	}
	b = append(b, "</a></th><td"...)
	if r.Kind == KindFile {
		b = appendGrouped(append(b, " title=\""...), r.Size)
		b = appendSize(append(b, " bytes\">"...), r.Size)
	} else {
		b = append(b, '>')
	}
	b = append(b, "</td><td>"...)
	if at, ok := r.changed(); ok {
		b = at.AppendFormat(b, "2006-01-02 15:04")
	}
	return append(b, "</td></tr>\n"...)
}

// appendText appends a name as HTML text. Bytes that are not UTF-8 become U+FFFD, and so do control characters, which
// HTML does not allow.
func appendText(b []byte, name string) []byte {
	name = strings.Map(visible, strings.ToValidUTF8(name, "\uFFFD"))
	return appendEscaped(b, []byte(name))
}

// appendEscaped appends text with the characters escaped that mean something in HTML. The text may be cut anywhere.
func appendEscaped(b, text []byte) []byte {
	if bytes.IndexByte(text, '<') < 0 && !bytes.ContainsAny(text, `>&"'`) {
		return append(b, text...)
	}
	return append(b, html.EscapeString(string(text))...)
}

// appendGrouped appends a number that is not negative, with a comma between thousands.
func appendGrouped(b []byte, n int64) []byte {
	digits := strconv.FormatInt(n, 10)
	for i := range len(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b = append(b, ',')
		}
		b = append(b, digits[i])
	}
	return b
}

// appendSize appends a size in bytes for people: three digits and a binary unit.
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
