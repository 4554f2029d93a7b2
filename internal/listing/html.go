package listing

import (
	"bytes"
	_ "embed"
	"html"
	"strconv"
	"strings"
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

// appendHTML renders what is not a row.
func (r *Renderer) appendHTML(b []byte) []byte {
	switch r.part {
	case partHead:
		b = r.appendHead(b)
	case partBelow:
		b = r.appendBelow(b)
	case partReadme:
		if r.showsReadme() {
			piece := r.dir.readmeText[r.readme:]
			piece = piece[:min(len(piece), readmePiece)]
			b = appendEscaped(b, piece)
			if r.readme += len(piece); r.readme < len(r.dir.readmeText) {
				return b
			}
		}
	case partEnd:
		b = r.appendEnd(b)
	}
	r.part++
	return b
}

func (r *Renderer) appendHead(b []byte) []byte {
	d, path := r.dir, r.dir.Key.Path
	b = append(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Index of "...)
	b = appendText(b, path)
	b = append(append(append(b, "</title>\n<style>"...), style...), "</style>\n</head>\n<body>\n"...)
	b = appendCrumbs(b, path)
	b = append(b, "<main>\n<h1>Index of "...)
	b = appendText(b, path)
	b = append(b, "</h1>\n<p class=\"s\">"...)
	b = appendCount(b, d.dirs, " folder", " folders")
	b = appendCount(append(b, ", "...), d.n-d.dirs, " file", " files")
	if d.n > d.dirs {
		b = appendSizeTitle(append(b, ", "...), d.bytes)
	}
	b = append(b, "</p>\n<table aria-label=\"Folders and files\">\n<thead>\n<tr>"...)
	b = r.appendColumn(b, sortName, "Name")
	b = r.appendColumn(b, sortSize, "Size")
	b = r.appendColumn(b, sortTime, "Modified <span class=\"u\">(UTC)</span>")
	b = append(b, "</tr>\n</thead>\n<tbody>\n"...)
	if path != "/" {
		b = append(b, "<tr class=\"d\"><th scope=\"row\"><a href=\"../\" aria-label=\"Parent folder\">../</a></th>"+
			"<td></td><td></td></tr>\n"...)
	}
	return b
}

// appendCrumbs appends links to the directories above. The references are relative, so that they hold behind a proxy
// that takes a prefix away.
func appendCrumbs(b []byte, path string) []byte {
	if path == "/" {
		return b
	}
	b = append(b, "<nav class=\"p\" aria-label=\"Breadcrumb\">\n<ol>\n"...)
	names := strings.Split(strings.Trim(path, "/"), "/")
	above := len(names)
	crumb := func(name string, up int) {
		b = append(b, "<li><a href=\""...)
		for range up {
			b = append(b, "../"...)
		}
		b = append(appendText(append(b, "\">"...), name), "</a></li>\n"...)
	}
	if above <= crumbsMax {
		crumb("Home", above)
	} else {
		b = append(b, "<li><span>…</span></li>\n"...)
	}
	for i := max(0, above-crumbsMax); i < len(names)-1; i++ {
		crumb(names[i], len(names)-1-i)
	}
	b = append(b, "<li aria-current=\"page\"><span>"...)
	b = appendText(b, names[len(names)-1])
	return append(b, "</span></li>\n</ol>\n</nav>\n"...)
}

// appendColumn appends the head of a column. Its link sorts by the column, or in the other direction if that is so
// already.
func (r *Renderer) appendColumn(b []byte, by sortKey, title string) []byte {
	q := Query{sort: by}
	b = append(b, "<th scope=\"col\""...)
	arrow := ""
	if r.query.sort == by {
		q.descending = !r.query.descending
		if r.query.descending {
			b, arrow = append(b, " aria-sort=\"descending\""...), " ▼"
		} else {
			b, arrow = append(b, " aria-sort=\"ascending\""...), " ▲"
		}
	}
	b = q.appendReference(append(b, "><a href=\""...))
	b = append(append(b, "\">"...), title...)
	if arrow != "" {
		b = append(append(append(b, "<span aria-hidden=\"true\">"...), arrow...), "</span>"...)
	}
	return append(b, "</a></th>"...)
}

// appendRow appends a row, for people and for programs that read listings with patterns: the link holds the name and
// nothing else, and the cells hold size and time as text without markup.
func appendRow(b, name []byte, r *row) []byte {
	if r.kind == KindDirectory {
		b = append(b, "<tr class=\"d\">"...)
	} else {
		b = append(b, "<tr>"...)
	}
	b = appendRowReference(append(b, "<th scope=\"row\"><a href=\""...), name, r.kind == KindDirectory)
	b = appendText(append(b, "\">"...), string(name))
	if r.kind == KindDirectory {
		b = append(b, '/')
	}
	b = append(b, "</a></th><td"...)
	if r.kind == KindFile {
		b = appendGrouped(append(b, " title=\""...), r.size)
		b = appendSize(append(b, " bytes\">"...), r.size)
	} else {
		b = append(b, '>')
	}
	b = append(b, "</td><td>"...)
	if at, ok := r.changed(); ok {
		b = at.AppendFormat(b, "2006-01-02 15:04")
	}
	return append(b, "</td></tr>\n"...)
}

// appendBelow appends what stands between the rows and the README's text.
func (r *Renderer) appendBelow(b []byte) []byte {
	d := r.dir
	b = append(b, "</tbody>\n</table>\n"...)
	if d.n == 0 && d.omitted == 0 {
		b = append(b, "<p class=\"e\">This folder is empty: nothing here.</p>\n"...)
	}
	if d.omitted > 0 {
		b = appendCount(append(b, "<p class=\"e\">and "...), d.omitted, " more", " more")
		b = append(b, ", not listed</p>\n"...)
	}
	if last := d.pages(); last > 1 && r.query.page > 0 {
		b = append(b, "<nav class=\"n\" aria-label=\"Pages\">\n"...)
		page := int(r.query.page)
		if page > 1 {
			b = r.appendPage(b, 1, "", "First")
			b = r.appendPage(b, page-1, "prev", "Previous")
		}
		b = strconv.AppendInt(append(b, "<span>Page "...), int64(page), 10)
		b = append(strconv.AppendInt(append(b, " of "...), int64(last), 10), "</span>\n"...)
		if page < last {
			b = r.appendPage(b, page+1, "next", "Next")
			b = r.appendPage(b, last, "", "Last")
		}
		b = append(b, "</nav>\n"...)
	}
	if r.showsReadme() {
		b = append(append(b, "<section class=\"r\" aria-labelledby=\"readme\">\n<h2 id=\"readme\">"...), d.readme...)
		b = append(b, "</h2>\n<pre>\n"...) // HTML drops the first line feed
	}
	return b
}

// showsReadme reports whether the README stands on this page: the first one, or the only one.
func (r *Renderer) showsReadme() bool { return len(r.dir.readmeText) > 0 && r.query.page <= 1 }

func (r *Renderer) appendPage(b []byte, page int, rel, text string) []byte {
	q := r.query
	q.page = int32(page)
	b = q.appendReference(append(b, "<a href=\""...))
	if rel != "" {
		b = append(append(b, "\" rel=\""...), rel...)
	}
	return append(append(append(b, "\">"...), text...), "</a>\n"...)
}

func (r *Renderer) appendEnd(b []byte) []byte {
	if d := r.dir; r.showsReadme() {
		b = append(b, "</pre>\n"...)
		if d.readmeSize > ReadmeMax { // without a link: the one above is to be the only one
			b = append(append(append(b, "<p>The beginning of "...), d.readme...), ", "...)
			b = append(appendSizeTitle(b, d.readmeSize), "</p>\n"...)
		}
		b = append(b, "</section>\n"...)
	}
	return append(b, "</main>\n</body>\n</html>\n"...)
}

func appendCount(b []byte, n int, one, many string) []byte {
	b = appendGrouped(b, int64(n))
	if n == 1 {
		return append(b, one...)
	}
	return append(b, many...)
}

// appendText appends a name as HTML text. Bytes that are not UTF-8 become U+FFFD, and so do control characters, which
// HTML does not allow.
func appendText(b []byte, name string) []byte {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c < ' ' || c >= 0x7f {
			name = strings.Map(func(r rune) rune {
				if isControl(r) {
					return '\uFFFD'
				}
				return r
			}, strings.ToValidUTF8(name, "\uFFFD"))
			break
		}
	}
	return appendEscaped(b, []byte(name))
}

// appendEscaped appends text with the characters escaped that mean something in HTML. The text may be cut anywhere.
func appendEscaped(b, text []byte) []byte {
	if bytes.IndexByte(text, '<') < 0 && !bytes.ContainsAny(text, `>&"'`) {
		return append(b, text...)
	}
	return append(b, html.EscapeString(string(text))...)
}

// appendSizeTitle appends a size for people, with the bytes as its title.
func appendSizeTitle(b []byte, size int64) []byte {
	b = appendGrouped(append(b, "<span title=\""...), size)
	b = appendSize(append(b, " bytes\">"...), size)
	return append(b, "</span>"...)
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
