package iomodel

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLimits: what can run here is bounded by something, each limit is named
// once, and one that is set says how it is lifted, unless it is compiled in.
func TestLimits(t *testing.T) {
	for _, m := range Models() {
		if m.Probe() != nil {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			var names []string
			for _, l := range m.Limits() {
				if l.Name == "" || l.Bounds == "" || slices.Contains(names, l.Name) {
					t.Errorf("%+v lacks something or is there twice", l)
				}
				names = append(names, l.Name)
				if l.Value != Unlimited && len(l.Lift) == 0 && l.Name != "FD_SETSIZE" {
					t.Errorf("%s = %d, and nothing lifts it", l.Name, l.Value)
				}
				for _, lift := range l.Lift {
					if lift.Where == "" || lift.Do == "" {
						t.Errorf("%s: %+v", l.Name, lift)
					}
				}
			}
			if len(names) == 0 || names[0] != "RLIMIT_NOFILE" {
				t.Errorf("bounded by %v, and descriptors are not the first", names)
			}
		})
	}
}

// TestCannot: what is said of a model is in whole sentences.
func TestCannot(t *testing.T) {
	for _, m := range models {
		if m.Cannot != "" && !strings.HasSuffix(m.Cannot, ".") {
			t.Errorf("%s: %q is no sentence", m.Name, m.Cannot)
		}
	}
}

// TestDescriptorLimit: the limit is the process's own, as it is now.
func TestDescriptorLimit(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	lower := was
	lower.Cur = 500
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	limits := descriptorLimits()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if len(limits) != 1 || limits[0].Value != 500 {
		t.Errorf("got %+v for 500 descriptors", limits)
	}
}

func TestTightest(t *testing.T) {
	limit := func(name string, value uint64) Limit { return Limit{Name: name, Value: value} }
	for _, c := range []struct {
		name   string
		limits []Limit
		want   string
	}{
		{"none", nil, ""},
		{"unlimited ones alone", []Limit{limit("a", Unlimited)}, ""},
		{"one", []Limit{limit("a", 7)}, "a"},
		{"the smallest", []Limit{limit("a", 7), limit("b", 5), limit("c", Unlimited), limit("d", 6)}, "b"},
		{"the first of equals", []Limit{limit("a", 5), limit("b", 5)}, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := tightest(c.limits)
			if ok != (c.want != "") || got.Name != c.want {
				t.Errorf("got %+v, %v, want %q", got, ok, c.want)
			}
		})
	}
}
