package http1

// Coding is a content coding (RFC 9110 section 8.4.1) that this package knows by name.
type Coding uint8

// The codings; RFC 7932 (br), RFC 8878 (zstd).
const (
	CodingIdentity Coding = iota // none
	CodingGzip
	CodingBrotli
	CodingZstd
	numCodings
)

// codingNames are the codings' names in Accept-Encoding and Content-Encoding.
var codingNames = [numCodings]string{"identity", "gzip", "br", "zstd"}

// String is the coding's name as it stands in Content-Encoding.
func (c Coding) String() string { return codingNames[c] }

// CodingWeights are the weights that a client gives the codings, in
// thousandths. The zero value accepts no coding but none at all.
type CodingWeights struct {
	said   [numCodings]uint16 // the weight and 1; 0: not named
	others uint16             // the same of "*"
}

// Of returns the weight of a coding; 0: it is not acceptable. Without a word
// about it, identity is acceptable and has the least weight, that of 1 (RFC 9110 section
// 12.5.3: it is excluded by name, or by a "*" of 0).
func (w *CodingWeights) Of(c Coding) int {
	switch {
	case w.said[c] > 0:
		return int(w.said[c]) - 1
	case c == CodingIdentity && w.others != 1:
		return 1
	case w.others > 0:
		return int(w.others) - 1
	}
	return 0
}

// Add parses the value of an Accept-Encoding field. Of a coding that is named twice the first
// counts. What is not valid is passed over, up to the next comma. The work is linear in len(value).
func (w *CodingWeights) Add(value []byte) {
	for more := true; more; {
		var element []byte
		element, value, more = cutList(value)
		name, params := cutToken(element)
		weight, ok := parseWeight(params)
		if !ok || len(name) == 0 {
			continue
		}
		if said := w.named(name); said != nil && *said == 0 {
			*said = weight + 1
		}
	}
}

// named is where the weight of the coding of that name belongs; nil: nowhere.
func (w *CodingWeights) named(name []byte) *uint16 {
	for coding, known := range codingNames {
		if equalFold(name, known) {
			return &w.said[coding]
		}
	}
	switch {
	case equalFold(name, "x-gzip"): // RFC 9110 section 8.4.1.3
		return &w.said[CodingGzip]
	case equalFold(name, "*"):
		return &w.others
	}
	return nil
}

// parseWeight parses [ ";" "q=" qvalue ] without the white space in front
// (RFC 9110 section 12.4.2). The weight is in thousandths.
func parseWeight(p []byte) (weight uint16, ok bool) {
	if len(p) == 0 {
		return 1000, true
	}
	if p[0] != ';' {
		return 0, false
	}
	p = trimSpace(p[1:])
	if len(p) < 3 || p[0]|0x20 != 'q' || p[1] != '=' {
		return 0, false
	}
	return parseQvalue(p[2:])
}

// parseQvalue parses 0 or 1 with at most three digits after the point (RFC 9110 section 12.4.2), in thousandths.
func parseQvalue(p []byte) (weight uint16, ok bool) {
	if len(p) == 0 || p[0] != '0' && p[0] != '1' {
		return 0, false
	}
	whole, fraction := p[0], p[1:]
	weight = uint16(whole-'0') * 1000
	if len(fraction) == 0 {
		return weight, true
	}
	if fraction[0] != '.' || len(fraction) > 4 {
		return 0, false
	}
	unit := uint16(100)
	for _, c := range fraction[1:] {
		if !isDigit(c) || whole == '1' && c != '0' {
			return 0, false
		}
		weight += uint16(c-'0') * unit
		unit /= 10
	}
	return weight, true
}
