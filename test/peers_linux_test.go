package test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestPeers: the comparison with other servers runs, and has figures of every server that it was asked for.
func TestPeers(t *testing.T) {
	once(t)
	testkit.Long(t)
	t.Parallel()
	for _, program := range []string{"python3", "wrk", "gcc", "unshare", "nginx"} {
		tool(t, program)
	}
	testkit.Root(t) // for a network namespace of its own
	figures := filepath.Join(t.TempDir(), "figures.json")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "python3", "../bench/peers/compare.py", "--evhttpd", binary, "--only",
		"floor,nginx,evhttpd",
		"--scenario", "small", "--rounds", "1", "--seconds", "1", "--json", figures).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(figures)
	must(t, err)
	var found map[string]map[string]struct {
		Rate float64 `json:"rps"`
		CPU  float64 `json:"cpu_us"`
	}
	must(t, json.Unmarshal(text, &found))
	for _, name := range []string{"floor", "floor again", "nginx", "evhttpd"} {
		if f := found["small"][name]; f.Rate <= 0 || f.CPU <= 0 {
			t.Errorf("%s: %+v\n%s", name, f, out)
		}
	}
}
