package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evhttpd/evhttpd/bench/text"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/poller"
)

// fakeModel is a model that runs nothing.
func fakeModel(name, class string, triggers poller.Trigger, reason error) iomodel.Model {
	return iomodel.Model{
		Name: name, Class: class, Mechanism: "calls of " + name, Triggers: triggers,
		Probe: func() error { return reason },
	}
}

// fakeReport is a machine with one model of each kind. Their names have no
// traits of their own; the limits of every model are this machine's.
func fakeReport() *modelsReport {
	queue := fakeModel("queue", "multiplexing", poller.Level|poller.Edge, nil)
	return describeModels([]iomodel.Model{
		fakeModel("threads", "blocking", 0, nil),
		queue,
		fakeModel("rings", "asynchronous", 0,
			errors.New("rings: forbidden to this process though the kernel allows it: "+
				"a seccomp filter, as Docker's default profile has")),
	}, iomodel.Choice{Model: queue, Trigger: poller.Edge}, true)
}

// TestModelsText is the shape of the text: the table, the choice, the reasons.
func TestModelsText(t *testing.T) {
	r := fakeReport()
	limit := uint64(20000)
	limits := []limitLine{
		{Name: "RLIMIT_NOFILE", Value: &limit, Bounds: "open descriptors",
			Lift: []iomodel.Lift{{Where: "root shell", Do: "ulimit -n 1048576"},
				{Where: "systemd unit", Do: "LimitNOFILE=1048576"}}},
		{Name: "of one", Bounds: strings.Repeat("words that are broken at the width of the text ", 3),
			Lift: []iomodel.Lift{}},
	}
	r.Platform, r.Kernel = "linux/amd64", "6.18.0"
	r.Models[0].Limits, r.Models[1].Limits = limits, limits[:1]
	r.Models[0].Cannot = "Serves no more connections than it has threads."
	var b bytes.Buffer
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	want := `  MODEL    HERE  TRIGGER      CLASS         MECHANISM
  threads  yes   -            blocking      calls of threads
* queue    yes   level, edge  multiplexing  calls of queue
  rings    no    -            asynchronous  calls of rings

* what --io-model auto takes on linux/amd64 6.18.0, with the edge trigger

Not available here:
  rings      forbidden to this process though the kernel allows it: a seccomp
             filter, as Docker's default profile has

What they cannot do, or only at a price:
  threads    Serves no more connections than it has threads.

Limits here:
  RLIMIT_NOFILE = 20000 (every model)
    open descriptors
      root shell:   ulimit -n 1048576
      systemd unit: LimitNOFILE=1048576
  of one = unlimited (threads)
    words that are broken at the width of the text words that are broken at the
    width of the text words that are broken at the width of the text
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// TestModelsTextWithoutDefault: a platform without an event loop says so.
func TestModelsTextWithoutDefault(t *testing.T) {
	r := describeModels([]iomodel.Model{fakeModel("threads", "blocking", 0, nil)}, iomodel.Choice{}, false)
	var b bytes.Buffer
	if err := r.write(&b); err != nil || !strings.Contains(b.String(), "--io-model auto finds nothing") ||
		strings.Contains(b.String(), "*") {
		t.Errorf("%v\n%s", err, &b)
	}
	if r.Auto != nil || r.Models[0].Auto {
		t.Errorf("auto is %+v", r.Auto)
	}
}

// TestModelsReal: on this machine every model is in the table once, one of
// them is auto's, and no line is wider than a terminal.
func TestModelsReal(t *testing.T) {
	var b bytes.Buffer
	if err := writeModels(&b, false); err != nil {
		t.Fatal(err)
	}
	table, rest, found := strings.Cut(b.String(), "\n\n")
	if !found || !strings.Contains(rest, "Limits here:") {
		t.Fatalf("a part is missing in\n%s", &b)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^[ *] (\S+) +(?:yes|no) `).FindAllStringSubmatch(table, -1) {
		names = append(names, m[1])
	}
	if !slices.Equal(names, iomodel.Names()) {
		t.Errorf("the table has %v, there are %v", names, iomodel.Names())
	}
	if n := strings.Count(table, "\n* "); n != 1 {
		t.Errorf("%d models are marked as auto's in\n%s", n, table)
	}
	for line := range strings.Lines(b.String()) {
		if len(line) > text.Width+1 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

// TestModelsJSON: the fields of the JSON form are what scripts rely on.
func TestModelsJSON(t *testing.T) {
	var b bytes.Buffer
	if err := writeModels(&b, true); err != nil {
		t.Fatal(err)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b.Bytes(), &top); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, "the object", top, "platform", "kernel", "auto", "models")
	var auto map[string]json.RawMessage
	var models []map[string]json.RawMessage
	unmarshal(t, top["auto"], &auto)
	unmarshal(t, top["models"], &models)
	wantKeys(t, "auto", auto, "model", "trigger")
	if len(models) != len(iomodel.Names()) {
		t.Errorf("%d models, want %d", len(models), len(iomodel.Names()))
	}
	for _, m := range models {
		name := string(m["name"])
		wantKeys(t, name, m, "name", "available", "reason", "auto", "triggers", "class", "mechanism", "cannot",
			"limits")
		if available, reason := string(m["available"]) == "true", string(m["reason"]); available != (reason == `""`) {
			t.Errorf("%s: available %v for the reason %s", name, available, reason)
		}
		if taken := string(m["auto"]) == "true"; taken != (name == string(auto["model"])) {
			t.Errorf("%s: auto is %v", name, taken)
		}
		var limits []map[string]json.RawMessage
		unmarshal(t, m["limits"], &limits)
		for _, l := range limits {
			wantKeys(t, name+"'s limit", l, "name", "value", "bounds", "lift")
			var lifts []map[string]json.RawMessage
			unmarshal(t, l["lift"], &lifts)
			for _, lift := range lifts {
				wantKeys(t, name+"'s lift", lift, "where", "do")
			}
		}
	}
	for _, list := range []string{`"triggers": null`, `"limits": null`, `"lift": null`} {
		if bytes.Contains(b.Bytes(), []byte(list)) {
			t.Errorf("an empty list is %s", list)
		}
	}
}

// TestModelsUnavailable: a model that cannot run has its reason and no limits.
func TestModelsUnavailable(t *testing.T) {
	m := fakeReport().Models[2]
	if m.Available || m.Auto || len(m.Limits) != 0 || !strings.HasPrefix(m.Reason, "forbidden to this process") {
		t.Errorf("%+v", m)
	}
}

func unmarshal(t *testing.T, text json.RawMessage, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func wantKeys(t *testing.T, what string, object map[string]json.RawMessage, keys ...string) {
	t.Helper()
	var got []string
	for key := range object {
		got = append(got, key)
	}
	slices.Sort(got)
	slices.Sort(keys)
	if !slices.Equal(got, keys) {
		t.Errorf("%s has the fields %v, want %v", what, got, keys)
	}
}
