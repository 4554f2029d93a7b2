package http1

const (
	dayNames   = "SunMonTueWedThuFriSat"
	monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"
	daySeconds = 24 * 60 * 60
)

var dayNamesLong = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

// AppendDate appends a time, in seconds since 1970, as IMF-fixdate (RFC 9110
// section 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". The years 0 to 9999 can be written.
func AppendDate(dst []byte, unixSeconds int64) []byte {
	days, second := floorDiv(unixSeconds, daySeconds)
	year, month, day := civil(days)
	_, weekday := floorDiv(days+4, 7) // 1970 began on a Thursday
	dst = append(dst, dayNames[3*weekday:3*weekday+3]...)
	dst = append(dst, ", "...)
	dst = appendTwo(dst, day)
	dst = append(dst, ' ')
	dst = append(dst, monthNames[3*month-3:3*month]...)
	dst = append(dst, ' ')
	dst = appendTwo(dst, year/100)
	dst = appendTwo(dst, year%100)
	dst = append(dst, ' ')
	dst = appendTwo(dst, second/3600)
	dst = append(dst, ':')
	dst = appendTwo(dst, second/60%60)
	dst = append(dst, ':')
	dst = appendTwo(dst, second%60)
	return append(dst, " GMT"...)
}

func appendTwo(dst []byte, n int64) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// floorDiv divides rounding down, so that the rest is never negative.
func floorDiv(a, b int64) (quotient, rest int64) {
	quotient, rest = a/b, a%b
	if rest < 0 {
		quotient, rest = quotient-1, rest+b
	}
	return quotient, rest
}

// civil and daysOf convert between days since 1970 and the Gregorian calendar:
// Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms". An era is 400 years; its
// years begin in March, so that the leap day is the last.

func civil(days int64) (year, month, day int64) {
	era, dayOfEra := floorDiv(days+719468, 146097)
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*shifted+2)/5 + 1
	year = yearOfEra + era*400
	if month = shifted + 3; month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

func daysOf(year, month, day int64) int64 {
	if month <= 2 {
		month += 12
		year--
	}
	era, yearOfEra := floorDiv(year, 400)
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return era*146097 + dayOfEra - 719468
}

// ParseDate parses the three formats that a recipient must accept (RFC 9110
// section 5.6.7). The year of an RFC 850 date, which has two digits, is the latest
// that is not more than 50 years after now (in seconds since 1970). The day of the week must be one, but
// it need not be the date's. A leap second is the first second of the next minute.
func ParseDate(p []byte, now int64) (unixSeconds int64, ok bool) {
	d := dateScanner{rest: p}
	var year, month, day, second int64
	twoDigits := false
	switch {
	case len(p) > 3 && p[3] == ',': // Sun, 06 Nov 1994 08:49:37 GMT
		d.weekday()
		d.literal(", ")
		day = d.number(2)
		d.literal(" ")
		month = d.month()
		d.literal(" ")
		year = d.number(4)
		d.literal(" ")
		second = d.clock()
		d.literal(" GMT")
	case len(p) > 3 && p[3] == ' ': // Sun Nov  6 08:49:37 1994
		d.weekday()
		d.literal(" ")
		month = d.month()
		d.literal(" ")
		day = d.paddedDay()
		d.literal(" ")
		second = d.clock()
		d.literal(" ")
		year = d.number(4)
	default: // Sunday, 06-Nov-94 08:49:37 GMT
		twoDigits = true
		d.longWeekday()
		d.literal(", ")
		day = d.number(2)
		d.literal("-")
		month = d.month()
		d.literal("-")
		year = d.number(2)
		d.literal(" ")
		second = d.clock()
		d.literal(" GMT")
	}
	if d.bad || len(d.rest) > 0 {
		return 0, false
	}
	if twoDigits {
		year = fullYear(year, month, day, second, now)
	}
	if day < 1 || day > monthDays(year, month) {
		return 0, false
	}
	return daysOf(year, month, day)*daySeconds + second, true
}

// fullYear resolves a year of two digits.
func fullYear(year, month, day, second, now int64) int64 {
	days, rest := floorDiv(now, daySeconds)
	latestYear, latestMonth, latestDay := civil(days)
	latestYear += 50
	latest := daysOf(latestYear, latestMonth, latestDay)*daySeconds + rest
	century, _ := floorDiv(latestYear, 100)
	year += century * 100
	if daysOf(year, month, day)*daySeconds+second > latest {
		year -= 100
	}
	return year
}

func monthDays(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// dateScanner takes a date apart from left to right. Once bad it takes nothing more.
type dateScanner struct {
	rest []byte
	bad  bool
}

// take returns the next n bytes, nil if there are fewer.
func (d *dateScanner) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return nil
	}
	p := d.rest[:n]
	d.rest = d.rest[n:]
	return p
}

func (d *dateScanner) literal(s string) {
	if string(d.take(len(s))) != s {
		d.bad = true
	}
}

// name returns the index of the next three bytes in a string of names of three bytes.
func (d *dateScanner) name(names string) int64 {
	p := d.take(3)
	for i := 0; i < len(names); i += 3 {
		if string(p) == names[i:i+3] {
			return int64(i / 3)
		}
	}
	d.bad = true
	return 0
}

func (d *dateScanner) weekday()     { d.name(dayNames) }
func (d *dateScanner) month() int64 { return d.name(monthNames) + 1 }

func (d *dateScanner) longWeekday() {
	for _, name := range dayNamesLong {
		if len(d.rest) >= len(name) && string(d.rest[:len(name)]) == name {
			d.take(len(name))
			return
		}
	}
	d.bad = true
}

// number takes n digits.
func (d *dateScanner) number(n int) (value int64) {
	for _, c := range d.take(n) {
		if !isDigit(c) {
			d.bad = true
		}
		value = value*10 + int64(c-'0')
	}
	return value
}

// paddedDay takes two digits or a space and one.
func (d *dateScanner) paddedDay() int64 {
	if len(d.rest) > 0 && d.rest[0] == ' ' {
		d.take(1)
		return d.number(1)
	}
	return d.number(2)
}

// clock takes hh:mm:ss and returns the second of the day.
func (d *dateScanner) clock() int64 {
	hour := d.number(2)
	d.literal(":")
	minute := d.number(2)
	d.literal(":")
	second := d.number(2)
	if hour > 23 || minute > 59 || second > 60 {
		d.bad = true
	}
	return hour*3600 + minute*60 + second
}
