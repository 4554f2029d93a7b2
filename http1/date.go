package http1

import "time"

// The three forms of a date (RFC 9110 section 5.6.7), as package time writes them.
const (
	formIMF     = "Mon, 02 Jan 2006 15:04:05 GMT"
	formRFC850  = "Monday, 02-Jan-06 15:04:05 GMT"
	formASCTime = "Mon Jan _2 15:04:05 2006"
	// formASCTimeZero is the same for a day of two digits the first of which is 0.
	formASCTimeZero = "Mon Jan 02 15:04:05 2006"

	dateMax = len("Wednesday, 02-Jan-06 15:04:05 GMT")
)

// AppendDate appends a time, in seconds since 1970, as IMF-fixdate (RFC 9110
// section 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". The years 0 to 9999 can be written.
func AppendDate(dst []byte, unixSeconds int64) []byte {
	return time.Unix(unixSeconds, 0).UTC().AppendFormat(dst, formIMF)
}

// ParseDate parses the three formats that a recipient must accept (RFC 9110
// section 5.6.7). The year of an RFC 850 date, which has two digits, is the latest
// that is not more than 50 years after now (in seconds since 1970). The day of the week must be one, but
// it need not be the date's. A leap second is the first second of the next minute.
func ParseDate(p []byte, now int64) (unixSeconds int64, ok bool) {
	if len(p) <= len("Mon,") || len(p) > dateMax {
		return 0, false
	}
	form, second := formRFC850, len(p)-len("05 GMT")
	switch p[3] {
	case ',':
		form = formIMF
	case ' ':
		form, second = formASCTime, len(p)-len("05 2006")
		if len(p) > 8 && p[8] == '0' {
			form = formASCTimeZero
		}
	}
	var text, again [dateMax]byte
	b := text[:copy(text[:], p)]
	var leap time.Duration
	if second > 0 && b[second] == '6' && b[second+1] == '0' {
		copy(b[second:], "59")
		leap = time.Second
	}
	at, err := time.Parse(form, string(b))
	if err != nil {
		return 0, false
	}
	// Package time takes more than HTTP does, such as names in any case and fractions of a
	// second: what it writes itself is what may stand here, but for the day of the week.
	rest, known := cutWeekday(b, form)
	same, _ := cutWeekday(at.AppendFormat(again[:0], form), form)
	if !known || string(rest) != string(same) {
		return 0, false
	}
	if form != formRFC850 {
		return at.Add(leap).Unix(), true
	}
	latest := time.Unix(now, 0).UTC().AddDate(50, 0, 0)
	full := at.AddDate(latest.Year()/100*100-at.Year()/100*100, 0, 0)
	if full.Add(leap).After(latest) {
		full = full.AddDate(-100, 0, 0)
	}
	return full.Add(leap).Unix(), full.Day() == at.Day()
}

// cutWeekday cuts the name of a day off the start of a date in that form.
func cutWeekday(p []byte, form string) (rest []byte, ok bool) {
	for day := time.Sunday; day <= time.Saturday; day++ {
		name := day.String()
		if form != formRFC850 {
			name = name[:3]
		}
		if len(p) >= len(name) && string(p[:len(name)]) == name {
			return p[len(name):], true
		}
	}
	return nil, false
}
