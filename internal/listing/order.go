package listing

import (
	"bytes"
	"cmp"
	"slices"
)

// order returns the indices of the rows in that order: directories first, always, and among them by name where they
// have nothing else to be sorted by. An order is made when it is first asked for.
func (d *Directory) order(by sortKey, descending bool) []int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := Query{sort: by, descending: descending}
	if order, ok := d.orders[key]; ok {
		return order
	}
	order := make([]int32, d.n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int {
		return d.compare(d.row(int(i)), d.row(int(j)), by, descending)
	})
	d.orders[key] = order
	return order
}

func (d *Directory) compare(a, b *row, by sortKey, descending bool) int {
	if aDir, bDir := a.Kind == KindDirectory, b.Kind == KindDirectory; aDir != bDir {
		if aDir {
			return -1
		}
		return 1
	}
	c := 0
	switch {
	case by == sortSize && a.Kind != KindDirectory:
		c = cmp.Compare(a.Size, b.Size)
	case by == sortTime:
		c = cmp.Or(cmp.Compare(a.Seconds, b.Seconds), cmp.Compare(a.Nanoseconds, b.Nanoseconds))
	case by == sortName:
		c = compareNames(d.name(a), d.name(b))
	}
	if descending {
		c = -c
	}
	if c == 0 {
		c = compareNames(d.name(a), d.name(b))
	}
	return c
}

// compareNames is the order of names as people count: runs of digits by their value (file2 before file10), ASCII
// letters without regard to case, everything else by bytes. Names that are equal so are in the order of their bytes.
func compareNames(a, b []byte) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if isDigit(a[i]) && isDigit(b[j]) {
			x, y := digits(a[i:]), digits(b[j:])
			i, j = i+len(x), j+len(y)
			x, y = bytes.TrimLeft(x, "0"), bytes.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := bytes.Compare(x, y); c != 0 {
				return c
			}
			continue
		}
		if x, y := lower(a[i]), lower(b[j]); x != y {
			return int(x) - int(y)
		}
		i, j = i+1, j+1
	}
	if c := (len(a) - i) - (len(b) - j); i == len(a) != (j == len(b)) {
		return c
	}
	return bytes.Compare(a, b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// digits are the digits at the beginning of p.
func digits(p []byte) []byte {
	n := 0
	for n < len(p) && isDigit(p[n]) {
		n++
	}
	return p[:n]
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
