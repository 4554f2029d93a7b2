package test

import (
	"bytes"
	little "encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shots is where the browser's screenshots go for whoever wants to look at them; unset: nowhere.
const shots = "EVHTTPD_TEST_SCREENSHOTS"

// names is what the listing shows, in its order.
const listed = `[...document.querySelectorAll("tbody a")].map(a => decodeURIComponent(a.getAttribute("href")))`

// TestBrowserListing: the listing is sorted and walked with the mouse, and comes back with the back button.
func TestBrowserListing(t *testing.T) {
	once(t)
	root := t.TempDir()
	for name, size := range map[string]int{"small.txt": 10, "middle.txt": 5000, "large.bin": 2 << 20, "a <b>bold</b>"[:10] + ".txt": 100, "folder/inner/deep.txt": 1, "README": 50} {
		write(t, root, name, bytes.Repeat([]byte("x"), size))
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
	// Nothing in the answer keeps the page out of the back/forward cache (no-store would).
	b.taken("Page.frameNavigated")
	b.eval(`void history.back()`, nil)
	var navigated struct{ Type string }
	b.await("Page.frameNavigated", &navigated)
	eventually(t, func() error {
		var title string
		if err := b.tryEval(`document.title`, &title); err != nil || title != "shown again, kept: true" {
			return fmt.Errorf("back: %s, %q, %v, %s", navigated.Type, title, err, b.taken("Page.backForwardCacheNotUsed"))
		}
		return nil
	})
	look("back", "deep.txt")
	b.follow(`a[href="/"], a[href="../../"]`) // a breadcrumb
	look("by the breadcrumb", "folder/", "a <b>bold<.txt", "large.bin", "middle.txt", "README", "small.txt")
	b.follow(`tbody a[href*="bold"]`)
	if b.eval(`document.contentType + " " + document.body.innerText.length`, &text); text != "text/plain 100" {
		t.Errorf("a file with markup in its name: %s", text)
	}
	b.quiet()
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

// TestBrowserPage: everything that a page loads is taken for what it is, with nosniff on all of it, over
// the six connections of a browser; a reload shows what was saved, and asks only whether it has changed.
func TestBrowserPage(t *testing.T) {
	once(t)
	root := t.TempDir()
	const pictures = 200
	var page strings.Builder
	page.WriteString(`<!doctype html><title>loading</title><link rel="stylesheet" href="style.css"><link rel="icon" href="data:,"><p id="styled">text</p>`)
	for i := range pictures {
		fmt.Fprintf(&page, `<img src="pictures/%d.svg">`, i)
		write(t, root, fmt.Sprintf("pictures/%d.svg", i), fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="8"><rect width="8" height="8"/></svg>`, i+1))
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
	b := append([]byte("RIFF"), little.LittleEndian.AppendUint32(nil, uint32(36+size))...)
	b = append(b, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"...)
	b = little.LittleEndian.AppendUint32(b, rate)
	b = little.LittleEndian.AppendUint32(b, rate*2)
	b = append(b, "\x02\x00\x10\x00data"...)
	b = little.LittleEndian.AppendUint32(b, uint32(size))
	for i, phase := 0, 0; i < size/2; i++ {
		phase += 1 + i/rate
		b = little.LittleEndian.AppendUint16(b, uint16(phase<<6))
	}
	return b
}

// TestBrowserSeeks: a medium is played from where the user puts it: by a range, long before all of it has come.
func TestBrowserSeeks(t *testing.T) {
	once(t)
	root := t.TempDir()
	const seconds, to = 3600, 3000 // 57.6 MB
	write(t, root, "long.wav", wave(seconds))
	write(t, root, "player.html", []byte(`<!doctype html><link rel="icon" href="data:,"><video id="v" preload="metadata" src="long.wav"></video>`))
	s := start(t, defaultVariant(), root)
	b := openChromium(t)
	b.open(s.url + "player.html")
	var at struct{ Duration, Time float64 }
	b.eval(`new Promise((ok, bad) => {
		v.onerror = () => bad(new Error("media error " + v.error.code + " " + v.error.message));
		const seek = () => { v.onseeked = () => ok({duration: v.duration, time: v.currentTime}); v.currentTime = `+fmt.Sprint(to)+`; };
		v.readyState >= 1 ? seek() : v.onloadedmetadata = seek;
	})`, &at)
	if at.Duration != seconds || at.Time != to {
		t.Errorf("%+v, want %d s at %d s", at, seconds, to)
	}
	b.eval(`v.play()`, nil)
	eventually(t, func() error {
		var now float64
		if err := b.tryEval(`v.currentTime`, &now); err != nil || now <= to {
			return fmt.Errorf("it plays at %v, %v", now, err)
		}
		return nil
	})
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
		must(t, json.Unmarshal(one, &got))
		if !strings.HasSuffix(got.Response.URL, ".wav") {
			continue
		}
		var first, last, size int64
		if _, err := fmt.Sscanf(got.Response.Headers["Content-Range"], "bytes %d-%d/%d", &first, &last, &size); err != nil || got.Response.Status != 206 {
			t.Errorf("%+v, %v", got.Response, err)
		}
		starts = append(starts, first)
	}
	if !slices.ContainsFunc(starts, func(first int64) bool { return first > to*16000/2 && first <= to*16000+44 }) {
		t.Errorf("no range begins near the place: %d", starts)
	}
	b.quiet()
}

// TestBrowserApplication: an application of one page is opened at any of its addresses, walks on by
// itself, and is reloaded where it is; what it asks for and is not there stays missing.
func TestBrowserApplication(t *testing.T) {
	once(t)
	root := t.TempDir()
	for name, content := range map[string]string{
		"index.html": `<!doctype html><base href="/"><link rel="icon" href="data:,"><title>loading</title><nav><a href="/users/7">seven</a></nav><main></main><script type="module" src="app.js"></script>`,
		"app.js": `const show = () => { document.querySelector("main").textContent = "view " + location.pathname; document.title = "shown"; };
document.querySelector("nav").onclick = (e) => { e.preventDefault(); history.pushState(null, "", e.target.getAttribute("href")); show(); };
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
			if err := b.tryEval(`document.querySelector("main").textContent`, &text); err != nil || text != "view "+want {
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
		`fetch("/api/none", {method: "POST", headers: {Accept: "text/html"}}).then(r => r.status === 405 ? 404 : r.status)`,
		`new Promise(ok => { const e = new Image(); e.onload = () => ok(200); e.onerror = () => ok(404); e.src = "/none.png"; })`,
		`new Promise(ok => { const e = document.createElement("link"); e.rel = "stylesheet"; e.onload = () => ok(200); e.onerror = () => ok(404); e.href = "/none.css"; document.head.append(e); })`,
		`import("/none.js").then(() => 200, () => 404)`,
	} {
		var status int
		if b.eval(script, &status); status != 404 {
			t.Errorf("%s: %d", script, status)
		}
	}
}
