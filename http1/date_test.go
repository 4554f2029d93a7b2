package http1

import (
	"net/http"
	"testing"
	"time"
)

func unix(t *testing.T, rfc3339 string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		t.Fatal(err)
	}
	return at.Unix()
}

func TestParseDateRFC9110Section5_6_7(t *testing.T) {
	for _, c := range []struct{ name, date, now, want string }{
		{"IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", "2026-01-01T00:00:00Z", "1994-11-06T08:49:37Z"},
		{"asctime, one digit", "Sun Nov  6 08:49:37 1994", "2026-01-01T00:00:00Z", "1994-11-06T08:49:37Z"},
		{"asctime, two digits", "Wed Nov 16 08:49:37 1994", "2026-01-01T00:00:00Z", "1994-11-16T08:49:37Z"},
		{"RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", "2026-01-01T00:00:00Z", "1994-11-06T08:49:37Z"},
		{"two-digit year: 50 years ahead", "Friday, 06-Nov-76 08:49:37 GMT", "2026-11-06T08:49:37Z",
			"2076-11-06T08:49:37Z"},
		{
			"two-digit year: 50 years and a second ahead", "Saturday, 06-Nov-76 08:49:38 GMT", "2026-11-06T08:49:37Z",
			"1976-11-06T08:49:38Z",
		},
		{"two-digit year: this year", "Monday, 02-Feb-26 00:00:00 GMT", "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"},
		{
			"two-digit year: the next century is near", "Saturday, 01-Jan-05 00:00:00 GMT", "2095-01-01T00:00:00Z",
			"2105-01-01T00:00:00Z",
		},
		{
			"two-digit year: the last century", "Saturday, 01-Jan-99 00:00:00 GMT", "2005-01-01T00:00:00Z",
			"1999-01-01T00:00:00Z",
		},
		{"two-digit year: leap day", "Tuesday, 29-Feb-00 00:00:00 GMT", "2026-01-01T00:00:00Z", "2000-02-29T00:00:00Z"},
		{"leap second", "Sat, 31 Dec 2016 23:59:60 GMT", "2026-01-01T00:00:00Z", "2017-01-01T00:00:00Z"},
		{"leap day", "Thu, 29 Feb 2024 00:00:00 GMT", "2026-01-01T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"before 1970", "Thu, 01 Jan 1601 00:00:00 GMT", "2026-01-01T00:00:00Z", "1601-01-01T00:00:00Z"},
		{"another day of the week", "Mon, 06 Nov 1994 08:49:37 GMT", "2026-01-01T00:00:00Z", "1994-11-06T08:49:37Z"},
		{"no such leap day", "Thu, 29 Feb 2023 00:00:00 GMT", "2026-01-01T00:00:00Z", ""},
		{"no leap day in 1900", "Thu, 29 Feb 1900 00:00:00 GMT", "2026-01-01T00:00:00Z", ""},
		{"day 31 of 30", "Thu, 31 Apr 2023 00:00:00 GMT", "2026-01-01T00:00:00Z", ""},
		{"day 0", "Thu, 00 Apr 2023 00:00:00 GMT", "2026-01-01T00:00:00Z", ""},
		{"hour 24", "Thu, 01 Apr 2023 24:00:00 GMT", "2026-01-01T00:00:00Z", ""},
		{"minute 60", "Thu, 01 Apr 2023 23:60:00 GMT", "2026-01-01T00:00:00Z", ""},
		{"second 61", "Thu, 01 Apr 2023 23:59:61 GMT", "2026-01-01T00:00:00Z", ""},
		{"names are case-sensitive", "sun, 06 Nov 1994 08:49:37 GMT", "2026-01-01T00:00:00Z", ""},
		{"another zone", "Sun, 06 Nov 1994 08:49:37 UTC", "2026-01-01T00:00:00Z", ""},
		{"an offset", "Sun, 06 Nov 1994 08:49:37 +0000", "2026-01-01T00:00:00Z", ""},
		{"one digit", "Sun, 6 Nov 1994 08:49:37 GMT", "2026-01-01T00:00:00Z", ""},
		{"a sign", "Sun, 06 Nov 1994 -8:49:37 GMT", "2026-01-01T00:00:00Z", ""},
		{"text behind", "Sun, 06 Nov 1994 08:49:37 GMT; length=5", "2026-01-01T00:00:00Z", ""},
		{"no such month", "Sun, 06 Nox 1994 08:49:37 GMT", "2026-01-01T00:00:00Z", ""},
		{"no such day", "Sux, 06 Nov 1994 08:49:37 GMT", "2026-01-01T00:00:00Z", ""},
		{"no such long day", "Someday, 06-Nov-94 08:49:37 GMT", "2026-01-01T00:00:00Z", ""},
		{"short day in RFC 850", "Sun, 06-Nov-94 08:49:37 GMT", "2026-01-01T00:00:00Z", ""},
		{"a number", "784111777", "2026-01-01T00:00:00Z", ""},
		{"nothing", "", "2026-01-01T00:00:00Z", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ParseDate([]byte(c.date), unix(t, c.now))
			if ok != (c.want != "") {
				t.Fatalf("%q: %v", c.date, ok)
			}
			if ok && got != unix(t, c.want) {
				t.Errorf("got %s, want %s", time.Unix(got, 0).UTC().Format(time.RFC3339), c.want)
			}
			for k := range c.date {
				if _, again := ParseDate([]byte(c.date[:k]), 0); ok && again {
					t.Errorf("%q is a date", c.date[:k])
				}
			}
		})
	}
}

func TestAppendDateAgreesWithTime(t *testing.T) {
	first, last := unix(t, "0000-01-01T00:00:00Z"), unix(t, "9999-12-31T23:59:59Z")
	buf := make([]byte, 0, 64)
	for at := first; at <= last; at += 86400*31 + 7919 {
		if got, want := string(AppendDate(buf, at)), time.Unix(at, 0).UTC().Format(http.TimeFormat); got != want {
			t.Fatalf("%d: got %s, want %s", at, got, want)
		}
	}
}

func TestAppendDateAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { ParseDate(AppendDate(buf, 784111777), 784111777) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDate(f *testing.F) {
	f.Add(int64(784111777), "Sunday, 06-Nov-94 08:49:37 GMT")
	f.Add(int64(-1), "Sun Nov  6 08:49:37 1994")
	f.Add(int64(951782400), "Tue, 29 Feb 2000 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, at int64, text string) {
		const first, last = -62167219200, 253402300799 // the years 0 to 9999
		if at >= first && at <= last {
			date := AppendDate(nil, at)
			if got, ok := ParseDate(date, 0); !ok || got != at {
				t.Errorf("%s: %d, %v, want %d", date, got, ok, at)
			}
		}
		got, ok := ParseDate([]byte(text), at%last)
		if !ok || got < first || got > last {
			return
		}
		date := AppendDate(nil, got)
		if again, ok := ParseDate(date, 0); !ok || again != got {
			t.Errorf("%q is %d, %s is %d", text, got, date, again)
		}
		if std, err := http.ParseTime(text); err == nil && text[3] == ',' && std.Unix() != got {
			t.Errorf("%q: %d, net/http %d", text, got, std.Unix())
		}
	})
}
