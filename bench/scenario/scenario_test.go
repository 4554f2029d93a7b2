package scenario

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/bench/load"
)

// TestTableIsComplete: each scenario says what it shows and whence it comes, and names are unique.
func TestTableIsComplete(t *testing.T) {
	seen := make(map[string]bool)
	sizes := make(map[string]int)
	for _, s := range append(All(), Quick(20000)) {
		if s.Shows == "" || s.Source == "" || len(s.Cells) == 0 {
			t.Errorf("%s: incomplete", s.Name)
		}
		for _, c := range s.Cells {
			if c.Scenario != s.Name || c.Name == "" || seen[c.Name] || c.Active < 1 {
				t.Errorf("%s: cell %+v", s.Name, c)
			}
			seen[c.Name] = true
			for _, f := range c.Files {
				if had, ok := sizes[f.Name]; ok && had != f.Bytes {
					t.Errorf("%s has %d and %d bytes", f.Name, had, f.Bytes)
				}
				sizes[f.Name] = f.Bytes
			}
		}
	}
}

// TestRoles: what a cell says is what the client is told.
func TestRoles(t *testing.T) {
	addr := load.TCP(netip.MustParseAddrPort("127.0.0.1:80"))
	target := func(f File) load.Target { return load.Target{Path: "/" + f.Name} }
	for _, s := range append(All(), Quick(20000)) {
		for _, c := range s.Cells {
			roles := c.Roles(addr, target)
			connections := 0
			for _, r := range roles {
				connections += r.Connections
				switch r.Name {
				case Active:
					want := len(c.Files)
					if c.Slow > 0 {
						want--
					}
					if len(r.Targets) != want || r.CloseEach != c.CloseEach || r.Rate != c.Rate ||
						r.Pipeline != c.Pipeline || r.Idle {
						t.Errorf("%s: %+v", c.Name, r)
					}
				case Idle:
					if !r.Idle || len(r.Targets) != 1 {
						t.Errorf("%s: %+v", c.Name, r)
					}
				case Slow:
					if r.ReadRate != c.SlowRate || r.Targets[0].Path != "/"+c.Files[len(c.Files)-1].Name {
						t.Errorf("%s: %+v", c.Name, r)
					}
				}
			}
			if connections != c.Connections() {
				t.Errorf("%s: %d connections, want %d", c.Name, connections, c.Connections())
			}
			if c.WrkCan() && (len(roles) != 1 || len(roles[0].Targets) != 1) {
				t.Errorf("%s: wrk cannot do that", c.Name)
			}
		}
	}
}

func TestQuickKeepsToTheLimit(t *testing.T) {
	for limit, want := range map[int]int{20000: 5000, 1000: 936, 64: 0, 10: 0} {
		cells := Quick(limit).Cells
		last := cells[len(cells)-1]
		if last.Idle != want || want == 0 && len(cells) != 1 {
			t.Errorf("a limit of %d: %+v", limit, cells)
		}
	}
}

func TestPick(t *testing.T) {
	picked, err := Pick([]string{"churn", "small"})
	if err != nil || len(picked) != 2 || picked[0].Name != "small" || picked[1].Name != "churn" {
		t.Error(picked, err)
	}
	if all, err := Pick(nil); err != nil || len(all) != len(All()) {
		t.Error(all, err)
	}
	if _, err := Pick([]string{"small", "smal"}); err == nil || !strings.Contains(err.Error(), `"smal"`) ||
		!strings.Contains(err.Error(), "churn") {
		t.Error(err)
	}
}
