// Package chart draws the charts of a comparison as SVG. It is a writer of its own because of three
// things that go-analyze/charts does not do: logarithmic axes, intervals on bars, and colours that follow
// the reader's light or dark mode, which takes classes and a style sheet instead of colours in every element.
//
// It imports the standard library alone.
package chart

import (
	"cmp"
	_ "embed"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Style is the sheet that every chart follows; a page that contains charts has it once,
// a chart in a file of its own carries it. Its colours are variables of the root, so that the
// page's own text has the same, light and dark.
//
//go:embed style.css
var Style string

const (
	width       = 720.0
	labelWidth  = 150.0 // of the rows' names
	valueWidth  = 124.0 // of the figures at the right
	rowHeight   = 22.0
	headHeight  = 62.0
	footHeight  = 34.0
	charWidth   = 6.6 // about, of 12 px text
	linesHeight = 380.0
)

// Row is one bar, or one row of dots.
type Row struct {
	Name  string
	Value float64
	// Low and High are the interval; equal: none is drawn.
	Low, High float64
	// Class is base, same, better, worse or plain.
	Class string
	// Text is the figure as written; empty: – stands for it and nothing is drawn.
	Text string
}

// Bars draws horizontal bars from 0, to the left of it where they are negative, with intervals. The axis reaches
// three times as far as the longest bar at the most: an interval that goes on behind it ends in an arrow.
func Bars(title, note string, rows []Row) string {
	least, most := 0.0, 0.0
	for _, r := range rows {
		least, most = min(least, r.Value), max(most, r.Value)
	}
	reach := 3 * max(most, -least)
	for _, r := range rows {
		least, most = min(least, max(r.Low, -reach)), max(most, min(r.High, reach))
	}
	axis := linear(least, most)
	d := begin(title, note)
	left, right := labelWidth, width-valueWidth
	x, bottom := d.rows(axis, left, right, len(rows))
	for i, r := range rows {
		y := headHeight + rowHeight*float64(i)
		d.text(left-8, y+15, "end", "", r.Name)
		if r.Text == "" {
			d.text(x(0)+6, y+15, "start", "soft", "–")
			continue
		}
		from, to := x(min(r.Value, 0)), x(max(r.Value, 0))
		d.add(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"><title>%s: %s</title></rect>`,
			r.Class, from, y+4, max(to-from, 1), rowHeight-8, html.EscapeString(r.Name), html.EscapeString(r.Text))
		if r.High > r.Low {
			d.whisker(x(r.Low), x(r.High), y+rowHeight/2, r.Low < axis.low, r.High > axis.top)
		}
		d.text(right+8, y+15, "start", "", r.Text)
	}
	return d.end(bottom + footHeight)
}

// Dots is one row of a dot chart.
type Dots struct {
	Name   string
	Values []float64 // as the legend; not positive: unknown
}

// DotRows draws rows of dots on a logarithmic axis.
func DotRows(title, note string, legend []string, rows []Dots) string {
	var all extent
	for _, r := range rows {
		for _, v := range r.Values {
			all.add(v)
		}
	}
	d := begin(title, note)
	left, right := labelWidth, width-24
	x, bottom := d.rows(decades(all), left, right, len(rows))
	for i, r := range rows {
		y := headHeight + rowHeight*(float64(i)+0.5)
		d.text(left-8, y+4, "end", "", r.Name)
		known := slices.DeleteFunc(slices.Clone(r.Values), func(v float64) bool { return v <= 0 })
		if len(known) > 1 {
			d.line("span", x(known[0]), y, x(known[len(known)-1]), y)
		}
		for n, v := range r.Values {
			if v > 0 {
				d.add(`<circle class="mark" style="fill:var(--s%d)" cx="%.1f" cy="%.1f" r="5">`+
					`<title>%s, %s: %s</title></circle>`,
					n+1, x(v), y, html.EscapeString(r.Name), html.EscapeString(legend[n]), tick(v))
			}
		}
	}
	at := left
	for n, name := range legend {
		d.add(`<circle style="fill:var(--s%d)" cx="%.1f" cy="%.1f" r="5"/>`, n+1, at+5, bottom+footHeight-2)
		d.text(at+15, bottom+footHeight+2, "start", "soft", name)
		at += 40 + charWidth*float64(len(name))
	}
	return d.end(bottom + footHeight + 14)
}

// Point is one of a line; X 0 has a place of its own left of the logarithmic axis.
type Point struct{ X, Y float64 }

// Line is one of a chart of lines.
type Line struct {
	Name   string
	Points []Point
	// Dashed marks what was not measured here: published figures, or what would be ideal.
	Dashed bool
}

// Lines draws lines on two logarithmic axes, each with its name at its end.
func Lines(title, note, xName string, lines []Line) string {
	var xs, ys extent
	for _, l := range lines {
		for _, p := range l.Points {
			xs.add(p.X)
			ys.add(p.Y)
		}
	}
	xAxis, yAxis := decades(xs), decades(ys)
	d := begin(title, note)
	left, right := 56.0, width-labelWidth
	top, bottom := headHeight, headHeight+linesHeight-90
	start := left
	if xs.zero {
		start += 60
	}
	x := func(v float64) float64 {
		if v <= 0 {
			return left + 16
		}
		return start + (right-start)*xAxis.at(v)
	}
	y := func(v float64) float64 { return bottom - (bottom-top)*yAxis.at(v) }
	for _, t := range xAxis.ticks {
		d.vertical(x(t), top, bottom, tick(t))
	}
	if xs.zero {
		d.vertical(x(0), top, bottom, "0")
	}
	for _, t := range yAxis.ticks {
		d.line("grid", left, y(t), right, y(t))
		d.text(left-8, y(t)+4, "end", "soft", tick(t))
	}
	d.text((left+right)/2, bottom+34, "middle", "soft", xName)
	var ends []label
	for i, l := range lines {
		if len(l.Points) == 0 {
			continue
		}
		var path []string
		for _, p := range l.Points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x(p.X), y(p.Y)))
			d.add(`<circle style="fill:var(--s%d)" cx="%.1f" cy="%.1f" r="3.5"><title>%s, %s: %s</title></circle>`,
				i%12, x(p.X), y(p.Y), html.EscapeString(l.Name), tick(p.X), tick(p.Y))
		}
		class := "line"
		if l.Dashed {
			class = "line dashed"
		}
		d.add(`<polyline class="%s" style="stroke:var(--s%d)" points="%s"/>`, class, i%12, strings.Join(path, " "))
		last := l.Points[len(l.Points)-1]
		ends = append(ends, label{l.Name, x(last.X), y(last.Y), y(last.Y), i % 12})
	}
	spread(ends, top, bottom)
	for _, e := range ends {
		d.line("grid", e.x+5, e.from, right+10, e.y)
		d.add(`<text style="fill:var(--s%d)" x="%.1f" y="%.1f">%s</text>`, e.class, right+13, e.y+4,
			html.EscapeString(e.name))
	}
	return d.end(bottom + footHeight + 14)
}

// label is a line's name at its end; from is where the line ends.
type label struct {
	name    string
	x, from float64
	y       float64
	class   int
}

// spread moves labels apart that would lie over one another, keeping their order.
func spread(labels []label, top, bottom float64) {
	const apart = 15.0
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	for i := range labels {
		labels[i].y = max(labels[i].y, top)
		top = labels[i].y + apart
	}
	for i := range slices.Backward(labels) {
		labels[i].y = min(labels[i].y, bottom)
		bottom = labels[i].y - apart
	}
}

// extent is what values reach over.
type extent struct {
	low, high float64 // of those above 0; 0: there is none
	zero      bool    // there are others
}

func (e *extent) add(v float64) {
	if v <= 0 {
		e.zero = true
		return
	}
	if e.low == 0 || v < e.low {
		e.low = v
	}
	e.high = max(e.high, v)
}

// axis is one with ticks, and where on it, from 0 to 1, a value lies.
type axis struct {
	low, top float64
	ticks    []float64
	log      bool
}

// linear is an axis over 0 and what lies between least and most, with some five round steps.
func linear(least, most float64) axis {
	span := most - least
	if !(span > 0) || math.IsInf(span, 0) {
		least, most, span = 0, 1, 1
	}
	step := math.Pow(10, math.Floor(math.Log10(span/4)))
	for _, factor := range []float64{2, 2.5, 2} { // 2, 5, 10
		if span/step <= 6 {
			break
		}
		step *= factor
	}
	a := axis{low: least - 0.02*max(-least, 0), top: most + 0.02*max(most, 0)}
	for n := math.Ceil(a.low / step); n*step <= a.top; n++ {
		a.ticks = append(a.ticks, n*step)
	}
	return a
}

// decades is a logarithmic axis around an extent, with a tick at
// each power of ten, and at 2 and 5 times these if there are few.
func decades(of extent) axis {
	if !(of.low > 0) || math.IsInf(of.high, 0) {
		of.low, of.high = 1, 10
	}
	a := axis{low: of.low / 1.25, top: of.high * 1.25, log: true}
	factors := []float64{1}
	if a.top/a.low < 1000 {
		factors = []float64{1, 2, 5}
	}
	for power := math.Floor(math.Log10(a.low)); power <= math.Log10(a.top); power++ {
		for _, f := range factors {
			if t := f * math.Pow(10, power); t >= a.low && t <= a.top {
				a.ticks = append(a.ticks, t)
			}
		}
	}
	return a
}

func (a axis) at(v float64) float64 {
	if a.log {
		return math.Log(v/a.low) / math.Log(a.top/a.low)
	}
	return (min(max(v, a.low), a.top) - a.low) / (a.top - a.low)
}

// tick writes a number at an axis.
func tick(v float64) string {
	switch {
	case v == 0:
		return "0" // and not -0
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3gk", v/1e3)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// drawing is an SVG in the making.
type drawing struct {
	title string
	b     strings.Builder
}

func begin(title, note string) *drawing {
	d := &drawing{title: title}
	d.text(12, 22, "start", "title", title)
	d.text(12, 40, "start", "soft", note)
	return d
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

func (d *drawing) text(x, y float64, anchor, class, text string) {
	d.add(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, html.EscapeString(text))
}

func (d *drawing) line(class string, fromX, fromY, toX, toY float64) {
	d.add(`<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, fromX, fromY, toX, toY)
}

// rows draws an axis above so many rows, and returns where a value lies on it, and where the rows end.
func (d *drawing) rows(a axis, left, right float64, count int) (x func(v float64) float64, bottom float64) {
	x = func(v float64) float64 { return left + (right-left)*a.at(v) }
	bottom = headHeight + rowHeight*float64(count)
	for _, t := range a.ticks {
		d.vertical(x(t), headHeight-4, bottom, tick(t))
	}
	return x, bottom
}

// vertical is a line of the grid with its tick beneath.
func (d *drawing) vertical(x, top, bottom float64, text string) {
	d.line("grid", x, top, x, bottom+4)
	d.text(x, bottom+17, "middle", "soft", text)
}

// whisker is an interval. An end that lies within the axis is a cap, one beyond it an arrow.
func (d *drawing) whisker(from, to, y float64, beforeAxis, behindAxis bool) {
	end := func(x, outwards float64, beyond bool) string {
		if beyond {
			return fmt.Sprintf("M%.1f %.1fl%.0f 4l%.0f 4", x-5*outwards, y-4, 5*outwards, -5*outwards)
		}
		return fmt.Sprintf("M%.1f %.1fv8", x, y-4)
	}
	d.add(`<path class="whisker" fill="none" d="M%.1f %.1fH%.1f%s%s"/>`, from, y, to, end(from, -1, beforeAxis),
		end(to, 1, behindAxis))
}

// end is the whole drawing.
func (d *drawing) end(height float64) string {
	const head = `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" ` +
		`height="%.0f" role="img" aria-label="%s">`
	return fmt.Sprintf(head+"\n"+`<rect class="page" width="100%%" height="100%%"/>`+"\n%s</svg>\n", width, height,
		width, height, html.EscapeString(d.title), d.b.String())
}

// File is a chart as a file of its own.
func File(svg string) string {
	head, rest, _ := strings.Cut(svg, "\n")
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + head + "\n<style>" + Style + "</style>\n" + rest
}
