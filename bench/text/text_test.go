package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is the longest line.
func widest(text string) (n int) {
	for line := range strings.Lines(text) {
		n = max(n, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
	}
	return n
}

func TestWrapBreaksBetweenWords(t *testing.T) {
	const sentence = "Ein Satz mit Wörtern – and one-that-is-longer-than-a-line-" +
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxand more words behind it, " +
		"which fill this line and the next one too, as it should be."
	var b strings.Builder
	Wrap(&b, sentence)
	if strings.Join(strings.Fields(b.String()), " ") != sentence {
		t.Errorf("the words changed:\n%s", b.String())
	}
	long := 0
	for line := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(line)-1 > Width && strings.Contains(strings.TrimSpace(line), " ") {
			long++
		}
	}
	if long > 0 || strings.Count(b.String(), "\n") < 4 {
		t.Errorf("\n%s", b.String())
	}
}

// TestTableFits: what is too wide goes on beneath, with its names again.
func TestTableFits(t *testing.T) {
	table := Table{Indent: 2, Head: [][]string{{""}}, Rows: [][]string{{"first"}, {"the second"}},
		Left: map[int]bool{1: true}}
	for range 12 {
		table.Head[0] = append(table.Head[0], "column")
		table.Rows[0] = append(table.Rows[0], "1,234")
		table.Rows[1] = append(table.Rows[1], "–")
	}
	var b strings.Builder
	table.Write(&b)
	if w := widest(b.String()); w > Width {
		t.Errorf("%d columns wide:\n%s", w, b.String())
	}
	if parts := strings.Count(b.String(), "  the second"); parts != 2 || strings.Count(b.String(), "1,234") != 12 {
		t.Errorf("%d parts:\n%s", parts, b.String())
	}
	if !strings.HasPrefix(b.String(), "              column  column") || !strings.Contains(b.String(),
		"  first       1,234    1,234") {
		t.Errorf("not aligned:\n%s", b.String())
	}
	b.Reset()
	(&Table{}).Write(&b)
	(&Table{Rows: [][]string{{"alone"}}}).Write(&b)
	if b.String() != "alone\n" {
		t.Errorf("%q", b.String())
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234",
		-123: "-123"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// TestNumber: three significant digits, whatever the magnitude.
func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1e-9: "0.000000001", 0.0031: "0.00310", 0.0997: "0.0997", 0.66: "0.660", 1.234: "1.23", 1.5: "1.50",
		9.996: "10.0", 12.34: "12.3", 42: "42.0", 123.4: "123", 165.4: "165", 1234.4: "1,234", 52510: "52,510",
		1e6: "1,000,000", 1234567: "1,234,567",
	} {
		if got := Number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
