package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// chromium is a headless browser with one tab, driven over the pipe that it speaks the
// DevTools protocol on (--remote-debugging-pipe: JSON, each message ends with NUL).
type chromium struct {
	t       *testing.T
	to      io.Writer
	from    *bufio.Reader
	session string
	id      int
	events  []told // that came and were not asked for yet
}

// told is a message of the browser's: an event, or its answer to a call.
type told struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// openChromium starts the browser with a profile of its own; the test is skipped where there is none.
func openChromium(t *testing.T) *chromium {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if file, err := exec.LookPath(name); err == nil {
			program = file
			break
		}
	}
	if program == "" {
		testkit.Skip(t, "chromium")
	}
	itsIn, to, err := os.Pipe()
	must(t, err)
	from, itsOut, err := os.Pipe()
	must(t, err)
	profile, err := os.MkdirTemp("", "chromium")
	must(t, err)
	cmd := testkit.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--remote-debugging-pipe",
		"--user-data-dir="+profile, "--no-first-run", "--no-default-browser-check", "--disable-background-networking",
		"--disable-component-update",
		"--disable-sync", "--disable-extensions", "--no-proxy-server", "--mute-audio",
		"--autoplay-policy=no-user-gesture-required",
		"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--window-size=1000,800", "--lang=en-US")
	cmd.ExtraFiles = []*os.File{itsIn, itsOut} // 3 and 4
	cmd.Env = append(os.Environ(), "HOME="+profile, "TZ=UTC")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second // its own children hold its output
	must(t, cmd.Start())
	itsIn.Close()
	itsOut.Close()
	stop := time.AfterFunc(4*patience, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		to.Close() // it ends when its pipe does
		ended := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil && t.Failed() {
			t.Logf("chromium: %v\n%s", err, said.String())
		}
		ended.Stop()
		stop.Stop()
		from.Close()
		os.RemoveAll(profile)
	})
	b := &chromium{t: t, to: to, from: bufio.NewReader(from)}
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// next reads one message.
func (b *chromium) next() told {
	b.t.Helper()
	text, err := b.from.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("the browser is gone: %v", err)
	}
	var e told
	must(b.t, json.Unmarshal(text[:len(text)-1], &e))
	return e
}

// call has the browser do something, and waits until it says that it has.
func (b *chromium) call(method string, params map[string]any, result any) {
	b.t.Helper()
	must(b.t, b.tryCall(method, params, result))
}

func (b *chromium) tryCall(method string, params map[string]any, result any) error {
	b.t.Helper()
	b.id++
	message := map[string]any{"id": b.id, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	must(b.t, err)
	_, err = b.to.Write(append(text, 0))
	must(b.t, err)
	for {
		e := b.next()
		switch {
		case e.ID == 0:
			b.events = append(b.events, e)
		case e.ID != b.id:
		case e.Error != nil:
			return fmt.Errorf("%s: %s", method, e.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(e.Result, result)
		}
	}
}

// await waits for an event that came since the last one of that name, and takes it off the list.
func (b *chromium) await(method string, into any) {
	b.t.Helper()
	at := slices.IndexFunc(b.events, func(e told) bool { return e.Method == method })
	for at < 0 {
		e := b.next()
		b.events = append(b.events, e)
		if e.Method == method {
			at = len(b.events) - 1
		}
	}
	if into != nil {
		must(b.t, json.Unmarshal(b.events[at].Params, into))
	}
	b.events = slices.Delete(b.events, at, at+1)
}

// taken takes all events of a name off the list.
func (b *chromium) taken(method string) (all []json.RawMessage) {
	b.events = slices.DeleteFunc(b.events, func(e told) bool {
		if e.Method == method {
			all = append(all, e.Params)
		}
		return e.Method == method
	})
	return all
}

// eval evaluates an expression, or waits for the promise that it is, and decodes its value.
func (b *chromium) eval(expression string, into any) {
	b.t.Helper()
	if err := b.tryEval(expression, into); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

func (b *chromium) tryEval(expression string, into any) error {
	b.t.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := b.tryCall("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true,
		"returnByValue": true, "userGesture": true}, &got)
	switch {
	case err != nil:
		return err
	case got.ExceptionDetails != nil:
		return errors.New(got.ExceptionDetails.Text + " " + got.ExceptionDetails.Exception.Description)
	case into == nil:
		return nil
	}
	return json.Unmarshal(got.Result.Value, into)
}

// open goes to a page and waits until all of it is loaded.
func (b *chromium) open(url string) {
	b.t.Helper()
	b.taken("Page.loadEventFired")
	var got struct{ ErrorText string }
	b.call("Page.navigate", map[string]any{"url": url}, &got)
	if got.ErrorText != "" {
		b.t.Fatalf("%s: %s", url, got.ErrorText)
	}
	b.await("Page.loadEventFired", nil)
}

// click clicks with the mouse on the first element that a selector finds.
func (b *chromium) click(selector string) {
	b.t.Helper()
	quoted, err := json.Marshal(selector)
	must(b.t, err)
	var at struct{ X, Y float64 }
	b.eval(fmt.Sprintf(`(() => { const e = document.querySelector(%s); e.scrollIntoView({block: "center"});
		const r = e.getClientRects()[0];
		return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()`, quoted), &at)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left",
			"clickCount": 1}, nil)
	}
}

// follow clicks on a link and waits for the page that it leads to.
func (b *chromium) follow(selector string) {
	b.t.Helper()
	b.taken("Page.loadEventFired")
	b.click(selector)
	b.await("Page.loadEventFired", nil)
}

// quiet fails the test if the page said anything on its console: a resource that was refused, a policy violated, an
// exception.
func (b *chromium) quiet() {
	b.t.Helper()
	b.eval("1", nil) // what was said before has come
	for _, kind := range []string{"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"} {
		for _, said := range b.taken(kind) {
			if bytes.Contains(said, []byte(`/favicon.ico"`)) {
				continue // which a browser looks for by itself, and says that there is none
			}
			b.t.Errorf("%s: %s", kind, said)
		}
	}
}

// screenshot is the page as PNG.
func (b *chromium) screenshot() (png []byte) {
	b.t.Helper()
	var got struct{ Data []byte }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &got)
	return got.Data
}
