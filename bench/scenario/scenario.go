// Package scenario is the table of loads under which servers are compared: what
// each is, what it shows, and where the like was measured.
//
// It imports bench/load.
package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/bench/load"
)

// Scenario is a kind of load, in one cell or several that differ in a parameter.
type Scenario struct {
	Name string
	// Shows is what the scenario is for, in whole sentences.
	Shows string
	// Source is the paper, book or practice that measures the like.
	Source string
	Cells  []Cell
}

// Cell is one load. The zero values of its fields leave out what they stand for.
type Cell struct {
	Scenario string `json:"scenario"`
	Name     string `json:"name"` // unique in the table
	Active   int    `json:"active"`
	// Idle connections make one request at the start and are then silent.
	Idle int `json:"idle"`
	// Slow connections each download the last of Files at SlowRate bytes/s; they are not in the figures of requests.
	Slow     int `json:"slow"`
	SlowRate int `json:"slow_bytes_per_second"`

	Pipeline  int     `json:"pipeline"` // requests in flight on an active connection; 0: one
	CloseEach bool    `json:"close_each"`
	Rate      float64 `json:"rate"` // requests/s, due whatever the answers do; 0: closed loop
	// Files are what active connections ask for; with Slow, all but the last.
	Files []File `json:"files"`
}

// File is a file that is asked for.
type File struct {
	Name   string  `json:"name"`
	Bytes  int     `json:"bytes"`
	Weight float64 `json:"weight"` // among the cell's files; 0 means 1
}

// Connections is how many the cell has at a time.
func (c *Cell) Connections() int { return c.Active + c.Idle + c.Slow }

// active are the files that count in the figures.
func (c *Cell) active() []File {
	if c.Slow > 0 {
		return c.Files[:len(c.Files)-1]
	}
	return c.Files
}

// Names of a cell's roles.
const (
	Active = "active"
	Idle   = "idle"
	Slow   = "slow"
)

// Roles is the load of the cell on a server, given the answer it must get for each file by name.
func (c *Cell) Roles(addr load.Addr, target func(File) load.Target) []load.Role {
	active := load.Role{Name: Active, Addr: addr, Connections: c.Active, Pipeline: c.Pipeline, CloseEach: c.CloseEach,
		Rate:  c.Rate,
		Greet: true}
	for _, f := range c.active() {
		t := target(f)
		t.Weight = f.Weight
		active.Targets = append(active.Targets, t)
	}
	roles := []load.Role{active}
	if c.Idle > 0 {
		roles = append(roles, load.Role{Name: Idle, Addr: addr, Connections: c.Idle, Idle: true,
			Targets: active.Targets[:1]})
	}
	if c.Slow > 0 {
		// What the client's own socket takes in must not hide how slowly it reads.
		roles = append(roles, load.Role{Name: Slow, Addr: addr, Connections: c.Slow, ReadRate: c.SlowRate,
			RecvBuffer: 16 << 10,
			Targets:    []load.Target{target(c.Files[len(c.Files)-1])}})
	}
	return roles
}

// WrkCan reports whether wrk can make this load.
func (c *Cell) WrkCan() bool {
	return c.Idle == 0 && c.Slow == 0 && c.Rate == 0 && len(c.Files) == 1
}

// Files that scenarios share. Their sizes are those of the field's usual tests.
var (
	small  = File{Name: "1k.html", Bytes: 1 << 10}
	middle = File{Name: "64k.bin", Bytes: 64 << 10}
	large  = File{Name: "4m.bin", Bytes: 4 << 20}
)

// mixed are sizes after SURGE: most files small, most bytes in large ones.
var mixed = []File{
	{Name: "1k.html", Bytes: 1 << 10, Weight: 45},
	{Name: "8k.html", Bytes: 8 << 10, Weight: 35},
	{Name: "64k.bin", Bytes: 64 << 10, Weight: 16},
	{Name: "512k.bin", Bytes: 512 << 10, Weight: 3.5},
	{Name: "4m.bin", Bytes: 4 << 20, Weight: 0.5},
}

// idleCounts and activeCounts are the two axes of idle scaling.
var (
	idleCounts   = []int{0, 100, 1000, 10000}
	activeCounts = []int{1, 64, 256}
)

// scenarios is the table, in the order of the report.
var scenarios = []Scenario{
	{
		Name: "small",
		Shows: "The cost of a request itself: wait, receive, parse, answer. Models differ by their system calls, " +
			"files hardly matter.",
		Source: "wrk's usual load; nginx's published tests of requests/s; Pariag et al., Comparing the Performance " +
			"of Web Server Architectures, EuroSys 2007.",
		Cells: []Cell{{Active: 64, Files: []File{small}}},
	},
	{
		Name:   "medium",
		Shows:  "Answers of some packets: copying and the socket's buffer begin to count, the model's own cost fades.",
		Source: "Nahum, Barzilai, Kandlur, Performance Issues in WWW Servers, IEEE/ACM ToN 10(1), 2002.",
		Cells:  []Cell{{Active: 64, Files: []File{middle}}},
	},
	{
		Name:  "large",
		Shows: "Downloads: sendfile, short writes and how a loop goes on when a socket takes bytes again.",
		Source: "Pai, Druschel, Zwaenepoel, Flash: An Efficient and Portable Web Server, USENIX 1999; Nahum et al. " +
			"2002 (sendfile).",
		Cells: []Cell{{Active: 16, Files: []File{large}}},
	},
	{
		Name: "pipelined",
		Shows: "What is left when one receive brings 16 requests and one send takes their answers: the parser. " +
			"Browsers do not pipeline.",
		Source: "TechEmpower Framework Benchmarks, plaintext (16 deep); wrk's pipeline script.",
		Cells:  []Cell{{Active: 64, Pipeline: 16, Files: []File{small}}},
	},
	{
		Name:  "churn",
		Shows: "A connection a request: accept, adding to the poller, closing.",
		Source: "Brecht, Pariag, Gammo, accept()able Strategies for Improving Web Server Performance, USENIX 2004; " +
			"nginx's published tests of connections/s.",
		Cells: []Cell{{Active: 64, CloseEach: true, Files: []File{small}}},
	},
	{
		Name: "idle",
		Shows: "What connections cost that do nothing: a wait of select and poll looks at all of them, one of epoll " +
			"or kqueue only at those that are ready. The more are active, the more a look at all is shared out.",
		Source: "Kerrisk, The Linux Programming Interface, table 63-9; Gammo, Brecht, Shukla, Pariag, Comparing and " +
			"Evaluating epoll, select, and poll Event Mechanisms, OLS 2004; Banga, Mogul, Scalable Kernel " +
			"Performance for Internet Servers under Realistic Loads, USENIX 1998; libevent's benchmark; Kegel, The " +
			"C10K Problem.",
		Cells: idleCells(),
	},
	{
		Name:   "mixed",
		Shows:  "Sizes as they are on the web: whether small answers wait behind large ones.",
		Source: "Barford, Crovella, Generating Representative Web Workloads (SURGE), SIGMETRICS 1998; SPECweb99.",
		Cells:  []Cell{{Active: 64, Files: mixed}},
	},
	{
		Name: "slow",
		Shows: "Clients that read 64 KiB/s beside quick ones: what an answer costs that leaves in many portions, and " +
			"whether others wait for it.",
		Source: "Banga, Druschel, Measuring the Capacity of a Web Server, USITS 1997; Nahum et al., The Effects of " +
			"Wide-Area Conditions on WWW Server Performance, SIGMETRICS 2001.",
		Cells: []Cell{{Active: 64, Slow: 200, SlowRate: 64 << 10, Files: []File{small, large}}},
	},
	{
		Name: "steady",
		Shows: "A rate that every model can serve, 5,000 requests/s, each timed from when it was due: latency and " +
			"CPU of servers that are not at their limit, where batches are small.",
		Source: "Schroeder, Wierman, Harchol-Balter, Open Versus Closed: A Cautionary Tale, NSDI 2006; Tene's wrk2 " +
			"(coordinated omission).",
		Cells: []Cell{{Active: 64, Rate: 5000, Files: []File{small}}},
	},
}

// All is the table, with the names of its cells.
func All() []Scenario {
	all := slices.Clone(scenarios)
	for i := range all {
		all[i].Cells = slices.Clone(all[i].Cells)
		for n := range all[i].Cells {
			c := &all[i].Cells[n]
			c.Scenario = all[i].Name
			if c.Name == "" {
				c.Name = c.Scenario
			}
		}
	}
	return all
}

func idleCells() []Cell {
	var cells []Cell
	for _, active := range activeCounts {
		for _, idle := range idleCounts {
			cells = append(cells, idleCell("idle", active, idle))
		}
	}
	return cells
}

func idleCell(scenario string, active, idle int) Cell {
	return Cell{Scenario: scenario, Name: fmt.Sprintf("%d active, %d idle", active, idle), Active: active, Idle: idle,
		Files: []File{small}}
}

// quickIdleMax is the most idle connections of [Quick].
const quickIdleMax = 5000

// Quick is the short comparison: 64 busy connections, and the same beside as many
// idle ones as the limits allow, to 5,000, because that is where models part.
func Quick(connectionsMax int) Scenario {
	const busy = 64
	idle := min(quickIdleMax, connectionsMax-busy)
	alone, beside := idleCell("quick", busy, 0), idleCell("quick", busy, idle)
	alone.Name, beside.Name = "64 busy", fmt.Sprintf("64 busy, %d idle", idle)
	s := Scenario{Name: "quick", Shows: "A request itself, and what idle connections add to it.",
		Source: "As of small and idle.", Cells: []Cell{alone, beside}}
	if idle <= 0 {
		s.Cells = s.Cells[:1]
	}
	return s
}

// Names lists the scenarios.
func Names() []string {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}

// Pick returns the scenarios of those names, in the table's order; all without names.
func Pick(names []string) ([]Scenario, error) {
	all := All()
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("there is no scenario %q: want one or more of %s", name, strings.Join(Names(), ", "))
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(s Scenario) bool { return !slices.Contains(names, s.Name) }), nil
}
