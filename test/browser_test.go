package test

import (
	"bytes"
	bin "encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// shots names the variable with a folder for the browser's screenshots; without it they are not kept.
const shots = "EVHTTPD_TEST_SCREENSHOTS"

// listed is a script that returns the names that the listing shows, in its order.
const listed = `[...document.querySelectorAll("tbody a")].map(a => decodeURIComponent(a.getAttribute("href")))`

// TestBrowserListing: the listing is sorted and walked with the mouse, and comes back with the back button.
func TestBrowserListing(t *testing.T) {
	once(t)
	root := t.TempDir()
	for name, size := range map[string]int{"small.txt": 10, "middle.txt": 5000, "large.bin": 2 << 20,
		"a <b>bold</b>"[:10] + ".txt": 100, "folder/inner/deep.txt": 1, "README": 50} {
		write(t, root, name, bytes.Repeat([]byte("x"), size))
	}
	for i := range mirrored - 1 {
		write(t, root, fmt.Sprintf("folder/many/%d", i), nil)
	}
	s := start(t, defaultVariant(), root, "--listing", "on")
	b := openChromium(t)
	b.open(s.url)
	b.quiet()
	look := func(what string, want ...string) {
		t.Helper()
		var got []string
		b.eval(listed, &got)
		got = slices.DeleteFunc(got, func(name string) bool { return name == "../" })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	look("by name", "folder/", "a <b>bold<.txt", "large.bin", "middle.txt", "README", "small.txt")
	b.follow(`thead a[href*="sort=size"]`)
	look("by size", "folder/", "small.txt", "README", "a <b>bold<.txt", "middle.txt", "large.bin")
	b.follow(`thead a[href*="sort=size"]`)
	look("by size, largest first", "folder/", "large.bin", "middle.txt", "a <b>bold<.txt", "README", "small.txt")
	if dir := os.Getenv(shots); dir != "" {
		must(t, os.WriteFile(filepath.Join(dir, "listing.png"), b.screenshot(), 0o644))
	}
	checkPicture(t, b.screenshot())
	b.follow(`tbody a[href="folder/"]`)
	b.follow(`tbody a[href="many/"]`)
	rows := 0
	if b.eval(`document.querySelectorAll("tbody tr").length`, &rows); rows != 1+1000 {
		t.Errorf("a browser gets %d rows of %d, and its way up, on a page", rows, mirrored-1)
	}
	b.follow(`a[rel="next"]`)
	if b.eval(`document.querySelectorAll("tbody tr").length`, &rows); rows != 1+mirrored-1-1000 {
		t.Errorf("the second page has %d rows", rows)
	}
	b.follow(`tbody a[href="../"]`)
	b.follow(`tbody a[href="inner/"]`)
	look("two down", "deep.txt")
	b.quiet()
	var path string
	if b.eval(`location.pathname`, &path); path != "/folder/inner/" {
		t.Errorf("at %s", path)
	}
	b.eval(`addEventListener("pageshow", e => document.title = "shown again, kept: " + e.persisted)`, nil)
	b.follow(`tbody a[href="deep.txt"]`)
	var text string
	if b.eval(`document.body.innerText`, &text); text != "x" {
		t.Errorf("the file shows %q", text)
	}
	b.goBack("shown again, kept: true")
	look("back", "deep.txt")
	b.follow(`a[href="/"], a[href="../../"]`) // a breadcrumb
	look("by the breadcrumb", "folder/", "a <b>bold<.txt", "large.bin", "middle.txt", "README", "small.txt")
	b.follow(`tbody a[href*="bold"]`)
	if b.eval(`document.contentType + " " + document.body.innerText.length`, &text); text != "text/plain 100" {
		t.Errorf("a file with markup in its name: %s", text)
	}
	b.quiet()
}

// goBack goes to the page before, and waits until that has the title. Nothing in its answer keeps it out of the
// back/forward cache (no-store would).
func (b *chromium) goBack(want string) {
	b.t.Helper()
	b.taken("Page.frameNavigated")
	b.eval(`void history.back()`, nil)
	var navigated struct{ Type string }
	b.await("Page.frameNavigated", &navigated)
	eventually(b.t, func() error {
		var title string
		if err := b.tryEval(`document.title`, &title); err != nil || title != want {
			return fmt.Errorf("back: %s, %q, %v, %s", navigated.Type, title, err,
				b.taken("Page.backForwardCacheNotUsed"))
		}
		return nil
	})
}

// checkPicture: a page is neither blank nor of one colour.
func checkPicture(t *testing.T, data []byte) {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(data))
	must(t, err)
	colours := make(map[[4]uint32]int)
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y += 2 {
		for x := bounds.Min.X; x < bounds.Max.X; x += 2 {
			r, g, b, a := picture.At(x, y).RGBA()
			colours[[4]uint32{r, g, b, a}]++
		}
	}
	if bounds.Dx() < 500 || len(colours) < 10 {
		t.Errorf("%v with %d colours", bounds, len(colours))
	}
}

// TestBrowserPage: a page's parts all load, with nosniff on every answer, over the six connections of a browser. A
// reload shows what was saved, and asks only whether the rest has changed.
func TestBrowserPage(t *testing.T) {
	once(t)
	testkit.Long(t)
	root := t.TempDir()
	const pictures = 200
	var page strings.Builder
	page.WriteString(`<!doctype html><title>loading</title><link rel="stylesheet" href="style.css">
		<link rel="icon" href="data:,"><p id="styled">text</p>`)
	for i := range pictures {
		fmt.Fprintf(&page, `<img src="pictures/%d.svg">`, i)
		const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="8"><rect width="8" height="8"/></svg>`
		write(t, root, fmt.Sprintf("pictures/%d.svg", i), fmt.Appendf(nil, svg, i+1))
	}
	page.WriteString(`<script type="module" src="app.mjs"></script>`)
	for name, content := range map[string]string{
		"index.html": page.String(), "style.css": "#styled { color: rgb(1, 2, 3) }", "data.json": `{"name": "ü"}`,
		"empty.wasm": "\x00asm\x01\x00\x00\x00",
		"app.mjs": `import { name } from "./other.js";
const data = await (await fetch("data.json")).json();
await WebAssembly.instantiateStreaming(fetch("empty.wasm"));
document.title = [name, data.name, getComputedStyle(document.getElementById("styled")).color].join(" ");`,
		"other.js": `export const name = "module";`, "saved.txt": "one",
	} {
		write(t, root, name, []byte(content))
	}
	s := start(t, defaultVariant(), root)
	b := openChromium(t)
	b.open(s.url)
	eventually(t, func() error {
		var title string
		if err := b.tryEval(`document.title`, &title); err != nil || title != "module ü rgb(1, 2, 3)" {
			return fmt.Errorf("%q, %v", title, err)
		}
		return nil
	})
	var widths []int
	b.eval(`[...document.images].map(i => i.naturalWidth)`, &widths)
	for i := range pictures {
		if len(widths) != pictures || widths[i] != i+1 {
			t.Fatalf("the pictures are %d wide", widths)
		}
	}
	b.quiet()
	var text string
	b.open(s.url + "saved.txt")
	for _, saved := range []string{"two", "six"} { // of the same length, within the same second
		must(t, os.WriteFile(filepath.Join(root, "saved.txt"), []byte(saved), 0o644))
		b.taken("Page.loadEventFired")
		b.call("Page.reload", nil, nil)
		b.await("Page.loadEventFired", nil)
		if b.eval(`document.body.innerText`, &text); text != saved {
			t.Errorf("after a reload: %q, want %q", text, saved)
		}
	}
	s.settle(t, "/style.css")
	b.open(s.url)
	b.eval("1", nil)
	b.taken("Network.responseReceivedExtraInfo")
	b.taken("Page.loadEventFired")
	b.call("Page.reload", nil, nil)
	b.await("Page.loadEventFired", nil)
	unchanged := 0
	for _, one := range b.taken("Network.responseReceivedExtraInfo") {
		var got struct{ StatusCode int }
		must(t, json.Unmarshal(one, &got))
		if got.StatusCode == 304 {
			unchanged++
		}
	}
	if unchanged == 0 {
		t.Error("a reload loads everything again")
	}
	b.open(s.url + "missing")
	if b.eval(`document.body.innerText`, &text); text != "404: no such file\n" && text != "404: no such file" {
		t.Errorf("missing: %q", text)
	}
}

// wave is a WAV file of so many seconds of a tone that rises: 8 kHz, 16 bits, one channel.
func wave(seconds int) []byte {
	const rate = 8000
	size := seconds * rate * 2
	b := append([]byte("RIFF"), bin.LittleEndian.AppendUint32(nil, uint32(36+size))...)
	b = append(b, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"...)
	b = bin.LittleEndian.AppendUint32(b, rate)
	b = bin.LittleEndian.AppendUint32(b, rate*2)
	b = append(b, "\x02\x00\x10\x00data"...)
	b = bin.LittleEndian.AppendUint32(b, uint32(size))
	for i, phase := 0, 0; i < size/2; i++ {
		phase += 1 + i/rate
		b = bin.LittleEndian.AppendUint16(b, uint16(phase<<6))
	}
	return b
}

// pictures has the browser encode eight pictures in VP8, each a key frame. The upper half's red, green and blue are
// the bits of the picture's number; the lower half is noise.
func (b *chromium) pictures() (frames [][]byte) {
	b.t.Helper()
	b.eval(`(async () => {
		const frames = [], canvas = new OffscreenCanvas(320, 240), c = canvas.getContext("2d");
		const encoder = new VideoEncoder({error: e => console.error(e), output: chunk => {
			const bytes = new Uint8Array(chunk.byteLength);
			chunk.copyTo(bytes);
			frames.push(btoa(Array.from(bytes, x => String.fromCharCode(x)).join("")));
		}});
		encoder.configure({codec: "vp8", width: 320, height: 240, bitrate: 8e6, framerate: 10});
		const noise = c.createImageData(320, 120);
		for (let i = 0; i < 8; i++) {
			c.fillStyle = "rgb(" + [i & 1, i & 2, i & 4].map(bit => bit ? 255 : 0).join() + ")";
			c.fillRect(0, 0, 320, 120);
			for (let j = 0; j < noise.data.length; j++) noise.data[j] = (j % 4 == 3) ? 255 : Math.random() * 256;
			c.putImageData(noise, 0, 120);
			const frame = new VideoFrame(canvas, {timestamp: i * 1e5});
			encoder.encode(frame, {keyFrame: true});
			frame.close();
		}
		await encoder.flush();
		return frames;
	})()`, &frames)
	return frames
}

// element is one of EBML (RFC 8794): its ID, its length in 8 bytes, and what is in it.
func element(id uint32, parts ...[]byte) []byte {
	b := bytes.TrimLeft(bin.BigEndian.AppendUint32(nil, id), "\x00")
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	b = bin.BigEndian.AppendUint64(b, 1<<56|uint64(length))
	return append(b, bytes.Join(parts, nil)...)
}

func number(id uint32, n int) []byte { return element(id, bin.BigEndian.AppendUint64(nil, uint64(n))) }

func label(id uint32, s string) []byte { return element(id, []byte(s)) }

// webm is a film (RFC 9559) of so many seconds, with a picture each, in turn, and an index in front.
func webm(seconds int, pictures [][]byte) []byte {
	information := element(0x1549A966, number(0x2AD7B1, 1_000_000),
		element(0x4489, bin.BigEndian.AppendUint64(nil, math.Float64bits(float64(seconds)*1000))),
		label(0x4D80, "test"), label(0x5741, "test"))
	tracks := element(0x1654AE6B, element(0xAE, number(0xD7, 1), number(0x73C5, 1), number(0x83, 1),
		label(0x86, "V_VP8"),
		element(0xE0, number(0xB0, 320), number(0xBA, 240))))
	var clusters [][]byte
	for i := range seconds {
		block := append([]byte{0x81, 0, 0, 0x80}, pictures[i%len(pictures)]...)
		clusters = append(clusters, element(0x1F43B675, number(0xE7, i*1000), element(0xA3, block)))
	}
	index := func(at int) []byte { // at: where the first cluster is
		var points [][]byte
		for i, cluster := range clusters {
			points = append(points, element(0xBB, number(0xB3, i*1000),
				element(0xB7, number(0xF7, 1), number(0xF1, at))))
			at += len(cluster)
		}
		return element(0x1C53BB6B, points...)
	}
	front := len(information) + len(tracks) + len(index(0))
	return append(element(0x1A45DFA3, number(0x4286, 1), number(0x42F7, 1), number(0x42F2, 4), number(0x42F3, 8),
		label(0x4282, "webm"), number(0x4287, 2), number(0x4285, 2)),
		element(0x18538067, append([][]byte{information, tracks, index(front)}, clusters...)...)...)
}

// TestBrowserSeeks: a film and a sound play from where the user puts them. The browser asks for a range, long
// before it has the whole file.
func TestBrowserSeeks(t *testing.T) {
	once(t)
	testkit.Long(t)
	root := t.TempDir()
	for _, media := range []string{"film.webm", "sound.wav"} {
		write(t, root, media+".html", []byte(`<!doctype html><link rel="icon" href="data:,">
			<video id="v" preload="metadata" src="`+media+`"></video>`))
	}
	s := start(t, defaultVariant(), root)
	b := openChromium(t)
	b.open(s.url + "film.webm.html") // which is no film yet: a page that may encode one
	const seconds, at = 1200, 1001
	film, sound := webm(seconds, b.pictures()), wave(seconds)
	t.Logf("a film of %d MB, a sound of %d", len(film)/1_000_000, len(sound)/1_000_000)
	write(t, root, "film.webm", film)
	write(t, root, "sound.wav", sound)
	b.seek(s, "film.webm", len(film), seconds, at)
	var colour []int
	b.eval(`(() => { const c = new OffscreenCanvas(320, 240).getContext("2d"); c.drawImage(v, 0, 0);
		return [...c.getImageData(100, 50, 1, 1).data]; })()`, &colour)
	for bit := range 3 {
		if (colour[bit] > 128) != (at%8>>bit&1 == 1) {
			t.Errorf("the picture is %d, not that of second %d", colour, at)
		}
	}
	b.seek(s, "sound.wav", len(sound), seconds, at)
}

// seek opens a medium of that size, puts it to a second, has it played from there, and looks at what was asked for.
func (b *chromium) seek(s *server, media string, size, seconds, to int) {
	b.t.Helper()
	b.open(s.url + media + ".html")
	b.taken("Log.entryAdded")
	var at struct{ Duration, Time float64 }
	b.eval(`new Promise((ok, bad) => {
		v.onerror = () => bad(new Error("media error " + v.error.code + " " + v.error.message));
		const seek = () => { v.onseeked = () => ok({duration: v.duration, time: v.currentTime}); v.currentTime = `+
		fmt.Sprint(to)+`; };
		v.readyState >= 1 ? seek() : v.onloadedmetadata = seek;
	})`, &at)
	if at.Duration != float64(seconds) || at.Time != float64(to) {
		b.t.Errorf("%s: %+v, want %d s at %d s", media, at, seconds, to)
	}
	// The answers: one that began near the place, and none that was not a range.
	var starts []int64
	for _, one := range b.taken("Network.responseReceived") {
		var got struct {
			Response struct {
				URL     string
				Status  int
				Headers map[string]string
			}
		}
		must(b.t, json.Unmarshal(one, &got))
		if !strings.HasSuffix(got.Response.URL, "/"+media) || got.Response.Status == 404 {
			continue
		}
		var first, last, whole int64
		if _, err := fmt.Sscanf(got.Response.Headers["Content-Range"], "bytes %d-%d/%d", &first, &last,
			&whole); err != nil || got.Response.Status != 206 || whole != int64(size) {
			b.t.Errorf("%s: %+v, %v", media, got.Response, err)
		}
		starts = append(starts, first)
	}
	if near := int64(size) / int64(seconds) * int64(to); !slices.ContainsFunc(starts,
		func(first int64) bool { return first > near-near/4 && first < near+near/4 }) {
		b.t.Errorf("%s: no range begins near %d: %d", media, near, starts)
	}
	b.eval(`v.play()`, nil)
	eventually(b.t, func() error {
		var now float64
		if err := b.tryEval(`v.currentTime`, &now); err != nil || now <= float64(to) {
			return fmt.Errorf("%s plays at %v, %v", media, now, err)
		}
		return nil
	})
	b.quiet()
}

// TestBrowserApplication: an application of one page opens at any of its addresses, changes its address by itself,
// and can be reloaded there. What it asks for and is not there is 404.
func TestBrowserApplication(t *testing.T) {
	once(t)
	testkit.Long(t)
	root := t.TempDir()
	for name, content := range map[string]string{
		"index.html": `<!doctype html><base href="/"><link rel="icon" href="data:,"><title>loading</title>
<nav><a href="/users/7">seven</a></nav><main></main><script type="module" src="app.js"></script>`,
		"app.js": `const show = () => {
  document.querySelector("main").textContent = "view " + location.pathname;
  document.title = "shown";
};
document.querySelector("nav").onclick = (e) => {
  e.preventDefault();
  history.pushState(null, "", e.target.getAttribute("href"));
  show();
};
addEventListener("popstate", show);
show();`,
		"about.html": "<!doctype html><title>about</title>about",
	} {
		write(t, root, name, []byte(content))
	}
	s := serveConfig(t, `access_log: {output: "off"}
sites: [{root: `+root+`, fallback: /index.html, try_files: [$path, $path.html]}]
`)
	b := openChromium(t)
	shows := func(want string) {
		t.Helper()
		eventually(t, func() error {
			var text string
			if err := b.tryEval(`document.querySelector("main").textContent`, &text); err != nil ||
				text != "view "+want {
				return fmt.Errorf("%q, %v, want the view %s", text, err, want)
			}
			return nil
		})
	}
	for _, path := range []string{"", "users", "users/3/edit?tab=2", "users/a.b"} {
		b.open(s.url + path)
		before, _, _ := strings.Cut(path, "?")
		shows("/" + before)
	}
	b.click(`nav a`)
	shows("/users/7")
	b.taken("Page.loadEventFired")
	b.call("Page.reload", nil, nil)
	b.await("Page.loadEventFired", nil)
	shows("/users/7")
	b.eval(`void history.back()`, nil)
	shows("/users/a.b")
	b.quiet()
	var text string
	b.open(s.url + "about")
	if b.eval(`document.body.innerText`, &text); text != "about" {
		t.Errorf("a page beside it: %q", text)
	}
	// What is loaded into a page does not ask for HTML.
	for _, script := range []string{
		`fetch("/api/none").then(r => r.status)`,
		`fetch("/api/none", {method: "POST", headers: {Accept: "text/html"}})
			.then(r => r.status === 405 ? 404 : r.status)`,
		`new Promise(ok => { const e = new Image(); e.onload = () => ok(200); e.onerror = () => ok(404);
			e.src = "/none.png"; })`,
		`new Promise(ok => { const e = document.createElement("link"); e.rel = "stylesheet";
			e.onload = () => ok(200); e.onerror = () => ok(404); e.href = "/none.css"; document.head.append(e); })`,
		`import("/none.js").then(() => 200, () => 404)`,
	} {
		var status int
		if b.eval(script, &status); status != 404 {
			t.Errorf("%s: %d", script, status)
		}
	}
	b.asksAnotherOrigin(t)
}

// asksAnotherOrigin has a script of the page ask another server for parts of a file and for what has changed: the
// browser asks that first whether it may, and tells the script nothing if not.
func (b *chromium) asksAnotherOrigin(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	write(t, root, "data", pattern(4000, 1))
	other := serveConfig(t, `access_log: {output: "off"}
sites: [{root: `+root+`, paths: [{match: "/**", cors: {origins: ["*"]}}]}]
`)
	for fields, want := range map[string]int{
		`"Range": "bytes=0-1,5-6"`:                               206,
		`"Range": "bytes=0-1,5-6", "If-Range": '"a"'`:            200,
		`"If-Match": '"a"'`:                                      412,
		`"If-None-Match": "*"`:                                   304,
		`"If-Modified-Since": "Fri, 31 Dec 2100 00:00:00 GMT"`:   304,
		`"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"`: 412,
	} {
		var status int
		if b.eval(`fetch("`+other.url+`data", {headers: {`+fields+`}}).then(r => r.status)`, &status); status != want {
			t.Errorf("%s: %d, want %d", fields, status, want)
		}
	}
}
