package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/scenario"
)

// findWrk looks for wrk, if it is asked for, before any time is spent.
func (c *comparison) findWrk() error {
	if !c.asked.Wrk {
		return nil
	}
	var err error
	if c.wrk, err = exec.LookPath("wrk"); err != nil {
		return errors.New("bench: --wrk: there is no wrk in PATH: install it (Debian, Ubuntu: apt install wrk; " +
			"macOS: brew install wrk) or leave out --wrk")
	}
	version := machine.Version(c.wrk, "--version")
	if at := strings.Index(version, " Copyright"); at > 0 {
		version = version[:at]
	}
	c.Head.Machine.Versions["wrk"] = version
	return nil
}

// wrkRate and wrkErrors are in what wrk prints.
var (
	wrkRate   = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)$`)
	wrkErrors = regexp.MustCompile(`(?m)^\s*(Non-2xx or 3xx responses: .*)$`)
)

// pipelineScript makes wrk keep a number of requests in flight.
const pipelineScript = `local batch
init = function()
  local all = {}
  for i = 1, %d do all[i] = wrk.format("GET") end
  batch = table.concat(all)
end
request = function() return batch end
`

// runWrk has wrk put the cell's load on the same server, from the client's CPUs,
// which it inherits. It counts in whole seconds.
func (c *comparison) runWrk(ctx context.Context, s *subject, cell *scenario.Cell, addr netip.AddrPort) (*float64,
	error) {
	seconds := max(int(c.Duration.Seconds()+0.5), 1)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+answerMax)
	defer cancel()
	target := c.target(s, cell.Files[0])
	args := []string{"-t", strconv.Itoa(min(c.asked.Loops, cell.Active)), "-c", strconv.Itoa(cell.Active), "-d",
		strconv.Itoa(seconds) + "s"}
	if cell.CloseEach {
		args = append(args, "-H", "Connection: close")
	}
	if target.Host != "" {
		args = append(args, "-H", "Host: "+target.Host)
	}
	if cell.Pipeline > 1 {
		folder, err := os.MkdirTemp("", "evhttpd-bench-wrk-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
		script := filepath.Join(folder, "pipeline.lua")
		if err := os.WriteFile(script, fmt.Appendf(nil, pipelineScript, cell.Pipeline), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "-s", script)
	}
	out, err := exec.CommandContext(ctx, c.wrk, append(args, "http://"+addr.String()+target.Path)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("wrk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if m := wrkErrors.FindSubmatch(out); m != nil {
		return nil, fmt.Errorf("wrk: %s", m[1])
	}
	m := wrkRate.FindSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("wrk says no Requests/sec: %s", strings.TrimSpace(string(out)))
	}
	rate, err := strconv.ParseFloat(string(m[1]), 64)
	return &rate, err
}
