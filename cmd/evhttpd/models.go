package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/bench/text"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/poller"
)

func modelsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "models",
		Short: "List the IO models: which can run here, why others cannot, and what limits them",
		Args:  noArguments,
	}
	asJSON := c.Flags().Bool("json", false, "write one JSON object instead of text")
	c.RunE = func(c *cobra.Command, _ []string) error { return writeModels(c.OutOrStdout(), *asJSON) }
	return c
}

// modelsReport is what "evhttpd models" says. Its JSON form is documented in
// docs/io-models.md: fields may be added, none is renamed.
type modelsReport struct {
	Platform string      `json:"platform"` // GOOS/GOARCH
	Kernel   string      `json:"kernel"`   // its release
	Auto     *autoChoice `json:"auto"`     // null if no model that auto takes can run here
	Models   []modelLine `json:"models"`
}

// autoChoice is what auto means here for io_model and for trigger.
type autoChoice struct {
	Model   string `json:"model"`
	Trigger string `json:"trigger"`
}

// modelLine is one model.
type modelLine struct {
	Name      string      `json:"name"`
	Available bool        `json:"available"`
	Reason    string      `json:"reason"` // why the model is not available; empty if it is
	Auto      bool        `json:"auto"`   // auto takes this model
	Triggers  []string    `json:"triggers"`
	Class     string      `json:"class"` // in Stevens' terms; empty if none of them fits
	Mechanism string      `json:"mechanism"`
	Cannot    string      `json:"cannot"` // what the model cannot do, or only at a price
	Limits    []limitLine `json:"limits"`
}

// limitLine is one limit of a model on this machine.
type limitLine struct {
	Name   string         `json:"name"`
	Value  *uint64        `json:"value"` // null if no limit is set
	Bounds string         `json:"bounds"`
	Lift   []iomodel.Lift `json:"lift"`
}

// writeModels writes which IO models there are, which of them can run on this
// machine and what bounds them: as text for people, or as one JSON object.
func writeModels(w io.Writer, asJSON bool) error {
	auto, err := iomodel.Resolve(iomodel.Auto, iomodel.Auto)
	report := describeModels(iomodel.Models(), auto, err == nil)
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(report)
	}
	return report.write(w)
}

// describeModels probes each model. auto is the model that auto takes, if hasAuto says that there is one.
func describeModels(models []iomodel.Model, auto iomodel.Choice, hasAuto bool) *modelsReport {
	r := &modelsReport{Platform: runtime.GOOS + "/" + runtime.GOARCH, Models: []modelLine{}}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		r.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if hasAuto {
		r.Auto = &autoChoice{Model: auto.Name, Trigger: auto.Trigger.String()}
	}
	for _, m := range models {
		line := modelLine{
			Name: m.Name, Available: true, Auto: hasAuto && m.Name == auto.Name,
			Triggers: triggers(m.Triggers), Class: m.Class, Mechanism: m.Mechanism,
			Cannot: m.Cannot, Limits: []limitLine{},
		}
		if err := m.Probe(); err != nil {
			line.Available = false
			line.Reason = strings.TrimPrefix(err.Error(), m.Name+": ")
		} else {
			for _, l := range m.Limits() {
				line.Limits = append(line.Limits, describeLimit(l))
			}
		}
		r.Models = append(r.Models, line)
	}
	return r
}

func describeLimit(l iomodel.Limit) limitLine {
	line := limitLine{Name: l.Name, Bounds: l.Bounds, Lift: append([]iomodel.Lift{}, l.Lift...)} // not null in JSON
	if l.Value != iomodel.Unlimited {
		line.Value = &l.Value
	}
	return line
}

// triggers lists the triggers of a set, level before edge.
func triggers(set poller.Trigger) []string {
	names := []string{}
	for _, t := range []poller.Trigger{poller.Level, poller.Edge} {
		if set&t != 0 {
			names = append(names, t.String())
		}
	}
	return names
}

// write is the report for people: the table, then what is not available, what
// models cannot do, and the limits of this machine, each once.
func (r *modelsReport) write(w io.Writer) error {
	var b strings.Builder
	r.writeTable(&b)
	var reasons, prices [][2]string // a model and a text about it
	for _, m := range r.Models {
		switch {
		case !m.Available:
			reasons = append(reasons, [2]string{m.Name, m.Reason})
		case m.Cannot != "":
			prices = append(prices, [2]string{m.Name, m.Cannot})
		}
	}
	writeAbout(&b, "Not available here:", reasons)
	writeAbout(&b, "What they cannot do, or only at a price:", prices)
	r.writeLimits(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *modelsReport) writeTable(b *strings.Builder) {
	rows := [][]string{{"MODEL", "HERE", "TRIGGER", "CLASS", "MECHANISM"}}
	for _, m := range r.Models {
		here := "yes"
		if !m.Available {
			here = "no"
		}
		triggers := cmp.Or(strings.Join(m.Triggers, ", "), "-")
		rows = append(rows, []string{m.Name, here, triggers, cmp.Or(m.Class, "-"), m.Mechanism})
	}
	last := len(rows[0]) - 1
	widths := make([]int, last)
	for _, row := range rows {
		for i, cell := range row[:last] {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for i, row := range rows {
		line := "  "
		if i > 0 && r.Models[i-1].Auto {
			line = "* "
		}
		for j, cell := range row[:last] {
			line += fmt.Sprintf("%-*s", widths[j]+2, cell)
		}
		text.Hang(b, line, strings.Repeat(" ", len(line)), row[last])
	}
	if r.Auto == nil {
		fmt.Fprintf(b, "\n--io-model auto finds nothing that it takes on %s %s\n", r.Platform, r.Kernel)
		return
	}
	b.WriteString("\n")
	text.Hang(b, "* ", "  ", fmt.Sprintf("what --io-model auto takes on %s %s, with the %s trigger",
		r.Platform, r.Kernel, r.Auto.Trigger))
}

// boundLimit is a limit with the models that it bounds.
type boundLimit struct {
	limitLine
	models []string
}

// writeLimits writes each limit once, with the models that it bounds.
func (r *modelsReport) writeLimits(b *strings.Builder) {
	var limits []boundLimit
	available := 0
	for _, m := range r.Models {
		if m.Available {
			available++
		}
		for _, l := range m.Limits {
			i := slices.IndexFunc(limits, func(b boundLimit) bool { return b.Name == l.Name })
			if i < 0 {
				i = len(limits)
				limits = append(limits, boundLimit{limitLine: l})
			}
			limits[i].models = append(limits[i].models, m.Name)
		}
	}
	slices.SortStableFunc(limits, func(a, b boundLimit) int { return len(b.models) - len(a.models) })
	if len(limits) > 0 {
		b.WriteString("\nLimits here:\n")
	}
	for _, l := range limits {
		models := strings.Join(l.models, ", ")
		if len(l.models) == available && available > 1 {
			models = "every model"
		}
		value := "unlimited"
		if l.Value != nil {
			value = strconv.FormatUint(*l.Value, 10)
		}
		fmt.Fprintf(b, "  %s = %s (%s)\n", l.Name, value, models)
		text.Hang(b, "    ", "    ", l.Bounds)
		for _, lift := range l.Lift {
			fmt.Fprintf(b, "      %-14s%s\n", lift.Where+":", lift.Do)
		}
	}
}

func writeAbout(b *strings.Builder, title string, models [][2]string) {
	if len(models) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, m := range models {
		text.Hang(b, fmt.Sprintf("  %-11s", m[0]), strings.Repeat(" ", 13), m[1])
	}
}
