package machine

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSplit(t *testing.T) {
	alone := func(cpu int) []int { return []int{cpu} }
	pairs := func(cpu int) []int { return []int{cpu &^ 1, cpu | 1} } // 0 and 1 are one core
	halves := func(cpu int) []int { return []int{cpu % 4, cpu%4 + 4} }
	for _, c := range []struct {
		name           string
		cpus           []int
		siblings       func(int) []int
		count          int
		server, client []int
		ok             bool
	}{
		{"two", []int{0, 1}, alone, 1, []int{1}, []int{0}, true},
		{"one cannot be shared out", []int{0}, alone, 1, nil, nil, false},
		{"two loops on two", []int{0, 1}, alone, 2, nil, nil, false},
		{"one core of two threads is shared if it must", []int{0, 1}, pairs, 1, []int{1}, []int{0}, true},
		{"the sibling stays free", []int{2, 3, 4, 5}, pairs, 1, []int{5}, []int{2}, true},
		{"two loops, cores of far siblings", []int{0, 1, 2, 3, 4, 5, 6, 7}, halves, 2, []int{6, 7}, []int{0, 1}, true},
		{"more loops than are left over", []int{0, 1, 2}, alone, 2, []int{1, 2}, []int{0}, true},
	} {
		server, client, ok := Split(c.cpus, c.siblings, c.count)
		if !reflect.DeepEqual(server, c.server) || !reflect.DeepEqual(client, c.client) || ok != c.ok {
			t.Errorf("%s: %v, %v, %v", c.name, server, client, ok)
		}
	}
}

func TestDescribe(t *testing.T) {
	f := Describe()
	if f.Platform == "" || f.Go == "" || f.Kernel == "" || f.Limits["RLIMIT_NOFILE"] == "" || len(f.CPUs) == 0 {
		t.Errorf("%+v", f)
	}
	if short := f.Short(); strings.Contains(short, "\n") || !strings.Contains(short, f.Go) {
		t.Errorf("%q", short)
	}
	if d := f.Differences(&f); len(d) != 0 {
		t.Errorf("it differs from itself in %v", d)
	}
	other := Describe()
	other.Kernel, other.Hostname = "another", "elsewhere"
	if d := f.Differences(&other); len(d) != 1 || d[0] != "Kernel" {
		t.Errorf("another kernel: %v", d)
	}
}

func TestRaiseDescriptors(t *testing.T) {
	got, err := RaiseDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) != got {
		t.Errorf("it says %d, the limit is %d (%v)", got, limit.Cur, err)
	}
}
