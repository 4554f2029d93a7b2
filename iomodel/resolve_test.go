package iomodel

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/poller"
)

// fake is a model that runs nothing.
func fake(name string, triggers poller.Trigger, loops bool, reason error) Model {
	return Model{Name: name, Triggers: triggers, Loops: loops, Probe: func() error { return reason }}
}

var errAbsent = errors.New("this kernel has none")

// fakes is a machine with some of everything.
func fakes() []Model {
	return []Model{
		fake("threads", 0, false, nil),
		fake("array", poller.Level, true, nil),
		fake("absent", poller.Level|poller.Edge, true, errAbsent),
		fake("queue", poller.Level|poller.Edge, true, nil),
		fake("signals", poller.Edge, true, nil),
		fake("elsewhere", poller.Level|poller.Edge, false, nil),
		fake("rings", 0, true, errors.New("rings: forbidden")),
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ name, trigger, want string }{
		{Auto, Auto, "queue edge"},
		{Auto, "level", "queue level"},
		{Auto, "edge", "queue edge"},
		{"queue", Auto, "queue edge"},
		{"queue", "level", "queue level"},
		{"array", Auto, "array level"},
		{"array", "level", "array level"},
		{"signals", Auto, "signals edge"},
		{"signals", "edge", "signals edge"},
		{"threads", Auto, "threads"},
	} {
		t.Run(c.name+" "+c.trigger, func(t *testing.T) {
			got, err := resolve(fakes(), c.name, c.trigger)
			if err != nil || got.String() != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestResolveRefuses: a model is refused with the reason and with what is
// possible, never replaced by another.
func TestResolveRefuses(t *testing.T) {
	for _, c := range []struct {
		name, trigger string
		want          string
		is            error
	}{
		{"nope", Auto, `"nope": there is no such model; available here: threads, array, queue, signals, elsewhere`,
			nil},
		{"", Auto, `"": there is no such model; available here: threads, array, queue, signals, elsewhere`, nil},
		{"absent", Auto, `"absent": this kernel has none; available here: threads, array, queue, signals, elsewhere`,
			errAbsent},
		{"absent", "edge", `"absent": this kernel has none; available here: threads, array, queue, signals, elsewhere`,
			errAbsent},
		{"rings", Auto, `rings: forbidden; available here: threads, array, queue, signals, elsewhere`, nil},
		{"array", "edge", `"array" cannot be driven with the edge trigger: it has level only; ` +
			`with edge here: queue, signals, elsewhere`, nil},
		{"signals", "level", `"signals" cannot be driven with the level trigger: it has edge only; ` +
			`with level here: array, queue, elsewhere`, nil},
		{"threads", "edge", `"threads" cannot be driven with the edge trigger: ` +
			`there is no choice of trigger, leave it at auto; with edge here: queue, signals, elsewhere`, nil},
		{"queue", "both", `"queue": there is no "both" trigger: want edge, level, auto`, nil},
	} {
		t.Run(c.name+" "+c.trigger, func(t *testing.T) {
			got, err := resolve(fakes(), c.name, c.trigger)
			if err == nil || err.Error() != c.want {
				t.Errorf("got %q, %v\nwant %s", got, err, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v does not wrap the reason", err)
			}
			if got.Name != "" {
				t.Errorf("%q stands in for the model that was refused", got)
			}
		})
	}
}

// TestResolveWithoutAny: a platform that can run no event loop has no default.
func TestResolveWithoutAny(t *testing.T) {
	_, err := resolve([]Model{fake("threads", 0, false, nil), fake("absent", poller.Edge, true, errAbsent)}, Auto, Auto)
	want := `"auto": no event loop with an edge trigger can run here; available here: threads`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := resolve([]Model{fake("absent", poller.Edge, true, errAbsent)}, "absent", Auto); err == nil ||
		!strings.HasSuffix(err.Error(), "available here: none") {
		t.Errorf("got %v", err)
	}
}

// TestModels: every model is listed once and says what it is, and what can run can be chosen.
func TestModels(t *testing.T) {
	var names []string
	for _, m := range Models() {
		if slices.Contains(names, m.Name) {
			t.Errorf("%s is listed twice", m.Name)
		}
		names = append(names, m.Name)
		if m.Name == "" || m.Name == Auto || m.Mechanism == "" || m.Probe == nil || m.New == nil {
			t.Errorf("%q lacks something: %+v", m.Name, m)
		}
		if m.Probe() != nil {
			continue
		}
		if c, err := Resolve(m.Name, Auto); err != nil || c.Name != m.Name {
			t.Errorf("%s can run here and is not chosen: %q, %v", m.Name, c, err)
		}
	}
	if !slices.Equal(names, Names()) {
		t.Errorf("Names has %v, Models %v", Names(), names)
	}
}

// TestNumberOfModels: the two READMEs say how many models there are.
func TestNumberOfModels(t *testing.T) {
	number := map[int]string{9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}[len(models)]
	said := regexp.MustCompile(`(?i)\b(\w+) (?:IO )?models, from|of the (\w+) models`)
	for _, file := range []string{"../README.md", "../docs/README.md"} {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := said.FindAllStringSubmatch(string(page), -1)
		if len(found) == 0 {
			t.Errorf("%s does not say how many models there are", file)
		}
		for _, match := range found {
			if got := strings.ToLower(match[1] + match[2]); got != number {
				t.Errorf("%s: %s models, there are %d", file, got, len(models))
			}
		}
	}
}

// TestModelsPage: docs/io-models.md has a section and a row for every model, in their order.
func TestModelsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/io-models.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections, rows []string
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok && slices.Contains(Names(), title) {
			sections = append(sections, title)
		}
		if name, _, ok := strings.Cut(line, "](#"); ok && strings.HasPrefix(name, "| [") {
			rows = append(rows, strings.TrimPrefix(name, "| ["))
		}
	}
	if !slices.Equal(sections, Names()) {
		t.Errorf("sections for %v, models %v", sections, Names())
	}
	if !slices.Equal(rows, Names()) {
		t.Errorf("rows for %v, models %v", rows, Names())
	}
}
