package static

import (
	"bytes"
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

// listingStyle is the only style sheet: its hash stands in the policy. Icons are drawn, so that nothing is loaded.
const listingStyle = `:root{color-scheme:light dark;--fg:#1c2128;--dim:#59636e;--bg:#fff;--card:#f6f8fa;--line:#d8dee4;--link:#0550ae;--dir:#c58b10}` +
	`@media(prefers-color-scheme:dark){:root{--fg:#e6e9ed;--dim:#9aa5b1;--bg:#14181d;--card:#1d232a;--line:#343c46;--link:#7cb7ff;--dir:#e0ac45}}` +
	`*{box-sizing:border-box}` +
	`body{background:var(--bg);color:var(--fg);font:16px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;margin:0 auto;max-width:64rem;padding:1.5rem 1.25rem 3rem}` +
	`a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}` +
	`:focus-visible{outline:2px solid var(--link);outline-offset:-2px;border-radius:4px}` +
	`.p ol{display:flex;flex-wrap:wrap;list-style:none;margin:0 0 0 -.4rem;padding:0}` +
	`.p li{overflow-wrap:anywhere;min-width:0}.p li+li::before{color:var(--dim);content:"/";content:"/" / ""}` +
	`.p a,.p span{display:inline-block;padding:.25rem .4rem}` +
	`h1{font-size:1.45rem;line-height:1.25;margin:.25rem 0 .15rem;overflow-wrap:anywhere;white-space:pre-wrap}` +
	`.s{color:var(--dim);margin:0 0 1rem}` +
	`table{border-collapse:collapse;width:100%}` +
	`th,td{border-bottom:1px solid var(--line);font-weight:400;padding:0;text-align:left;vertical-align:middle}` +
	`thead th{border-bottom-width:2px;min-width:44px;font-size:.875rem;white-space:nowrap}thead a{color:var(--dim);font-weight:600}thead th a{align-items:center;display:flex;gap:.25rem}` +
	`th a{display:block;padding:.42rem .5rem}` +
	`tbody th a{overflow-wrap:anywhere;padding-left:2.15rem;position:relative;white-space:pre-wrap}` +
	`th+th a{justify-content:flex-end}td{color:var(--dim);font-variant-numeric:tabular-nums;padding:.42rem .5rem;text-align:right;white-space:nowrap;width:1%}` +
	`td:last-child,th:last-child{padding-left:1rem}` +
	`tbody tr:hover{background:var(--card)}` +
	`tbody a::before{background:var(--dim);clip-path:polygon(0 0,62% 0,100% 30%,100% 100%,0 100%);content:"";height:1rem;left:.62rem;opacity:.55;position:absolute;top:.66rem;width:.8rem}` +
	`tbody .d a::before{background:var(--dir);clip-path:polygon(0 0,40% 0,52% 18%,100% 18%,100% 100%,0 100%);height:.85rem;left:.5rem;opacity:1;top:.72rem;width:1.04rem}` +
	`.e{color:var(--dim);padding:2rem .5rem;text-align:center}` +
	`.n{align-items:center;display:flex;flex-wrap:wrap;gap:.25rem .75rem;justify-content:center;margin-top:1rem}` +
	`.n a,.n span{align-items:center;display:inline-flex;min-height:44px;padding:0 .75rem}.n a{border:1px solid var(--line);border-radius:6px}` +
	`.r{border:1px solid var(--line);border-radius:8px;margin-top:2rem;overflow:hidden}` +
	`.r h2{background:var(--card);border-bottom:1px solid var(--line);font-size:1rem;margin:0;padding:.6rem 1rem}` +
	`.r pre{font:.875rem/1.5 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;margin:0;overflow-wrap:anywhere;padding:1rem;tab-size:4;white-space:pre-wrap}` +
	`.r p{border-top:1px solid var(--line);color:var(--dim);margin:0;padding:.6rem 1rem}` +
	`@media(max-width:40rem){body{padding:.75rem .75rem 2rem}th a,.p a,.p span{min-height:44px}.p a,.p span{align-items:center;display:inline-flex;min-width:44px;justify-content:center}` +
	`td,th a{padding-left:.3rem;padding-right:.3rem}tbody th a{padding-bottom:.6rem;padding-left:1.95rem;padding-top:.6rem}tbody th a::before{left:.42rem;top:.85rem}tbody .d a::before{left:.3rem;top:.92rem}td{font-size:.875rem}td:last-child{font-size:.75rem}td:last-child,th:last-child{padding-left:.3rem}.u{display:none}}`

// appendHTML renders what is not a row.
func (r *render) appendHTML(b []byte) []byte {
	switch r.part {
	case renderHead:
		b = r.appendHead(b)
	case renderBelow:
		b = r.appendBelow(b)
	case renderReadme:
		if r.showsReadme() {
			piece := r.dir.readmeText[r.readme:]
			piece = piece[:min(len(piece), readmePiece)]
			b = appendEscaped(b, piece)
			if r.readme += len(piece); r.readme < len(r.dir.readmeText) {
				return b
			}
		}
	case renderEnd:
		b = r.appendEnd(b)
	}
	r.part++
	return b
}

func (r *render) appendHead(b []byte) []byte {
	d, path := r.dir, r.dir.key.path
	b = append(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Index of "...)
	b = appendText(b, path)
	b = append(b, "</title>\n<style>"+listingStyle+"</style>\n</head>\n<body>\n"...)
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
		b = append(b, "<tr class=\"d\"><th scope=\"row\"><a href=\"../\" aria-label=\"Parent folder\">../</a></th><td></td><td></td></tr>\n"...)
	}
	return b
}

// appendCrumbs links the directories above. The references are relative, so that they
// hold behind a proxy that takes a prefix away.
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

// appendColumn writes a column's head, whose link sorts by it, or the other way round.
func (r *render) appendColumn(b []byte, by uint8, title string) []byte {
	v := view{sort: by}
	b = append(b, "<th scope=\"col\""...)
	arrow := ""
	if r.view.sort == by {
		v.desc = !r.view.desc
		if r.view.desc {
			b, arrow = append(b, " aria-sort=\"descending\""...), " ▼"
		} else {
			b, arrow = append(b, " aria-sort=\"ascending\""...), " ▲"
		}
	}
	b = v.appendQuery(append(b, "><a href=\""...))
	b = append(append(b, "\">"...), title...)
	if arrow != "" {
		b = append(append(append(b, "<span aria-hidden=\"true\">"...), arrow...), "</span>"...)
	}
	return append(b, "</a></th>"...)
}

// appendRow writes a row for people and for programs, which read listings with patterns: the link holds the
// name and nothing else, and the cells size and time as text without markup.
func appendRow(b, name []byte, r *row) []byte {
	if r.kind == rowDir {
		b = append(b, "<tr class=\"d\">"...)
	} else {
		b = append(b, "<tr>"...)
	}
	b = appendReference(append(b, "<th scope=\"row\"><a href=\""...), name, r.kind == rowDir)
	b = appendText(append(b, "\">"...), string(name))
	if r.kind == rowDir {
		b = append(b, '/')
	}
	b = append(b, "</a></th><td"...)
	if r.kind == rowFile {
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

// appendBelow writes what stands between the rows and the README's text.
func (r *render) appendBelow(b []byte) []byte {
	d := r.dir
	b = append(b, "</tbody>\n</table>\n"...)
	if d.n == 0 && d.omitted == 0 {
		b = append(b, "<p class=\"e\">This folder is empty: nothing here.</p>\n"...)
	}
	if d.omitted > 0 {
		b = append(appendCount(append(b, "<p class=\"e\">and "...), d.omitted, " more", " more"), ", not listed</p>\n"...)
	}
	if last := d.pages(); last > 1 && r.view.page > 0 {
		b = append(b, "<nav class=\"n\" aria-label=\"Pages\">\n"...)
		page := int(r.view.page)
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
func (r *render) showsReadme() bool { return len(r.dir.readmeText) > 0 && r.view.page <= 1 }

func (r *render) appendPage(b []byte, page int, rel, text string) []byte {
	v := r.view
	v.page = int32(page)
	b = v.appendQuery(append(b, "<a href=\""...))
	if rel != "" {
		b = append(append(b, "\" rel=\""...), rel...)
	}
	return append(append(append(b, "\">"...), text...), "</a>\n"...)
}

func (r *render) appendEnd(b []byte) []byte {
	if d := r.dir; r.showsReadme() {
		b = append(b, "</pre>\n"...)
		if d.readmeSize > readmeMax { // without a link: the one above is to be the only one
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

// appendText writes a name as HTML text. Bytes that are not UTF-8, and control characters,
// which HTML does not allow, become U+FFFD.
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

// appendEscaped writes text with HTML's own characters escaped. Text may be cut anywhere.
func appendEscaped(b, text []byte) []byte {
	if bytes.IndexByte(text, '<') < 0 && !bytes.ContainsAny(text, `>&"'`) {
		return append(b, text...)
	}
	return append(b, html.EscapeString(string(text))...)
}

// appendSizeTitle writes a size for people, with the bytes as its title.
func appendSizeTitle(b []byte, size int64) []byte {
	b = appendGrouped(append(b, "<span title=\""...), size)
	b = appendSize(append(b, " bytes\">"...), size)
	return append(b, "</span>"...)
}

// appendGrouped writes a number that is not negative with a comma between thousands.
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

// appendSize writes a size in bytes for people: three digits and a binary unit.
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
