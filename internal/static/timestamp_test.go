package static

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// browserAccept is what a browser sends when somebody follows a link.
const browserAccept = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9," +
	"image/avif,image/webp,*/*;q=0.8\r\n"

// setTime sets the time of a file, also one that os.Chtimes cannot (it counts nanoseconds in 64 bits). It
// reports false where the file system keeps another.
func setTime(t *testing.T, name string, seconds, nanoseconds int64) bool {
	t.Helper()
	at := unix.Timespec{Sec: seconds, Nsec: nanoseconds}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{at, at}, 0); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Mtim == at
}

// TestTimesThatTellNothing: build tools, archives and images write one time on every version of a file. The same
// size and time with other bytes must not be 304, nor the rest of it be sent for a part of the other.
func TestTimesThatTellNothing(t *testing.T) {
	for _, at := range []string{
		"1901-12-13T20:45:52Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z",
		"1970-01-01T00:00:02Z", "1980-01-01T00:00:00Z", "1980-01-01T00:00:01Z", "1980-01-01T00:00:02Z",
		"1980-02-01T00:00:00Z", "1985-10-26T08:15:00Z", "1989-12-31T23:59:59Z",
	} {
		t.Run(at, func(t *testing.T) {
			when, err := time.Parse(time.RFC3339, at)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			const small, middling, large = 100, 300 << 10, hashUntimedMax + 1
			put := func(fill string) {
				sizes := map[string]int{"small": small, "small.gz": small / 2, "middling": middling, "large": large}
				for name, size := range sizes {
					write(t, dir+"/"+name, strings.Repeat(fill, size))
					if !setTime(t, dir+"/"+name, when.Unix(), 0) {
						t.Fatal("the file system has not the time")
					}
				}
			}
			put("a")
			opts := testOptions(dir)
			opts.Precompressed = []string{"gz"}
			l := serve(t, opts, false)
			old := make(map[string]string)
			for _, name := range []string{"small", "small.gz", "middling", "large"} {
				target, coded := name, ""
				if name == "small.gz" {
					target, coded = "small", "Accept-Encoding: gzip\r\n"
				}
				r := l.request("GET", "/"+target, coded)
				old[name] = r.Header.Get("ETag")
				if r.StatusCode != 200 || r.Header.Get("Last-Modified") != "" || strings.HasPrefix(old[name], "W/") ||
					(old[name] == "") != (name == "large") {
					t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
				}
				l.request("GET", "/"+target, coded+"If-Modified-Since: "+r.Header.Get("Date")+"\r\n").wantStatus(t, 200)
				if name != "large" {
					l.request("GET", "/"+target, coded+"If-None-Match: "+old[name]+"\r\n").wantStatus(t, 304)
					l.request("GET", "/"+target, coded+"Range: bytes=1-2\r\nIf-Range: "+old[name]+"\r\n").wantStatus(t,
						206)
				}
			}
			put("b")
			l.advance(2 * time.Second)
			for _, name := range []string{"small", "middling"} {
				r := l.request("GET", "/"+name, "If-None-Match: "+old[name]+"\r\n")
				if r.StatusCode != 200 || r.body[0] != 'b' || r.Header.Get("ETag") == old[name] {
					t.Errorf("%s: %d %v: the new bytes have the old tag", name, r.StatusCode, r.Header)
				}
				l.request("GET", "/"+name, "Range: bytes=1-2\r\nIf-Range: "+old[name]+"\r\n").wantStatus(t, 200)
			}
			r := l.request("GET", "/small", "Accept-Encoding: gzip\r\nIf-None-Match: "+old["small.gz"]+"\r\n")
			if r.StatusCode != 200 || r.Header.Get("Content-Encoding") != "gzip" {
				t.Errorf("small.gz: %d %v", r.StatusCode, r.Header)
			}
		})
	}
}

// TestETagOffOfOldFiles: whoever turned tags off has none, whatever the time.
func TestETagOffOfOldFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/x", "x")
	setTime(t, dir+"/x", 0, 0)
	opts := testOptions(dir)
	opts.ETag = ETagOff
	if r := serve(t, opts, false).get("/x"); r.Header.Get("ETag")+r.Header.Get("Last-Modified") != "" {
		t.Errorf("%v", r.Header)
	}
}

// wraps is how many nanoseconds 64 bits hold: two times that are so far apart were one.
const wrapsSeconds, wrapsNanoseconds = math.MaxUint64 / 1_000_000_000, math.MaxUint64%1_000_000_000 + 1

// TestFarTimes: times that no 64 bits of nanoseconds hold are told apart, listed and sorted as what they are, and
// a Last-Modified is not later than the answer.
func TestFarTimes(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "static")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const y1601, y2400, y12000 = -11644473600, 13569465600, 316516204800
	near := longAgo.Unix()
	times := []struct {
		name                 string
		seconds, nanoseconds int64
		listed               string // empty: no time
	}{
		{"a-billions", -1 << 60, 0, ""}, {"b-1601", y1601, 0, "1601-01-01T00:00:00Z"},
		{"c-near", near, 5, longAgo.Format(time.RFC3339)}, {"d-2400", y2400, 0, "2400-01-01T00:00:00Z"}, {"e-wrapped",
			near + wrapsSeconds, 5 + wrapsNanoseconds, ""},
		{"f-12000", y12000, 0, ""}, {"g-billions", 1 << 60, 7, ""},
	}
	tags := make(map[string]string)
	l := listed(t, dir)
	l.alone = true // nothing that was seen before is believed
	for _, f := range times {
		write(t, dir+"/"+f.name, "x")
		if !setTime(t, dir+"/"+f.name, f.seconds, f.nanoseconds) {
			t.Skip("the file system has no such times")
		}
		r := l.get("/" + f.name)
		modified, tag := r.Header.Get("Last-Modified"), r.Header.Get("ETag")
		at, err := time.Parse(time.RFC1123, modified)
		switch {
		case r.StatusCode != 200 || tag == "" || f.seconds >= validFrom && tags[tag] != "":
			t.Errorf("%s: %d, ETag %s, which is that of %q", f.name, r.StatusCode, tag, tags[tag])
		case f.seconds < validFrom && modified != "":
			t.Errorf("%s: Last-Modified %q", f.name, modified)
		case f.seconds >= validFrom &&
			(err != nil || at.After(time.Now().Add(2*settled)) || f.seconds == near && at.Unix() != near):
			t.Errorf("%s: Last-Modified %q", f.name, modified)
		}
		tags[tag] = f.name
	}
	var rows []struct{ Name, Mtime string }
	if err := json.Unmarshal([]byte(l.get("/?format=json&sort=time").body), &rows); err != nil ||
		len(rows) != len(times) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	text, page := strings.Split(l.get("/?format=text&sort=time").body, "\n"), l.get("/?sort=time").body
	for i, f := range times {
		want := f.listed
		if f.name == "e-wrapped" {
			want = time.Unix(f.seconds, 0).UTC().Format(time.RFC3339)
		}
		if rows[i].Name != f.name || rows[i].Mtime != want {
			t.Errorf("JSON row %d is %v, want %s %s", i, rows[i], f.name, want)
		}
		if at := strings.Split(text[i], "\t"); at[0] != f.name || at[2] != want && (want != "" || at[2] != "-") {
			t.Errorf("text row %d is %q", i, text[i])
		}
		if want != "" {
			want = want[:10] + " " + want[11:16]
		}
		if !strings.Contains(page, fmt.Sprintf(">%s</a></th><td title=\"1 bytes\">1 B</td><td>%s</td>", f.name, want)) {
			t.Errorf("no row of %s at %q in %s", f.name, want, page)
		}
	}
}

// TestFarTimesAreNotNear however far the times are apart.
func TestFarTimesAreNotNear(t *testing.T) {
	a, b := timestamp{longAgo.Unix(), 5}, timestamp{longAgo.Unix() + wrapsSeconds, 5 + wrapsNanoseconds}
	if a == b {
		t.Error("times that wrap are taken for one")
	}
	if b.near(longAgo.UnixNano(), recentChange) || !a.near(longAgo.UnixNano(), recentChange) {
		t.Error("near")
	}
}
