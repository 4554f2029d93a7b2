package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// listMax bounds the time that the program takes to list its models.
	listMax = 20 * time.Second
	// threadsMax is the most that the server takes for its blocking model.
	threadsMax = 8192
	// threadsSpare: with all its threads taken, the model would make each answer its connection's last.
	threadsSpare = 16
)

// Model is what `evhttpd models --json` says of one.
type Model struct {
	Name      string   `json:"name"`
	Available bool     `json:"available"`
	Reason    string   `json:"reason"` // why it is not available
	Triggers  []string `json:"triggers"`
}

// Models are those of a program.
type Models struct {
	Auto   struct{ Model, Trigger string } // what auto takes here
	Models []Model
}

// Variant is a model with one of its triggers.
type Variant struct {
	Name, Model, Trigger string
}

// AskModels has the program list its models: it is measured from outside, and asked from there too.
func AskModels(ctx context.Context, binary string) (*Models, error) {
	ctx, cancel := context.WithTimeout(ctx, listMax)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "models", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("%s models --json: %w", binary, err)
	}
	return ParseModels(out)
}

// ParseModels reads what the program lists.
func ParseModels(text []byte) (*Models, error) {
	m := &Models{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("evhttpd models --json: %w", err)
	}
	if m.Auto.Model == "" {
		return nil, errors.New("no model that `--io-model auto` takes can run here, and it is what others are " +
			"compared with")
	}
	return m, nil
}

// Check says which of the names is that of no model that can run here.
func (m *Models) Check(names []string) error {
	var available []string
	for _, each := range m.Models {
		if each.Available {
			available = append(available, each.Name)
		}
	}
	for _, name := range names {
		reason := "there is no such model"
		if i := slices.IndexFunc(m.Models, func(each Model) bool { return each.Name == name }); i >= 0 {
			reason = m.Models[i].Reason
		}
		if !slices.Contains(available, name) {
			return fmt.Errorf("--models %q: %s; available here: %s", name, reason, strings.Join(available, ", "))
		}
	}
	return nil
}

// Variants are the models that can run here, with each of their triggers: what auto takes first.
func (m *Models) Variants() []Variant {
	var first, others []Variant
	for _, each := range m.Models {
		triggers := each.Triggers
		if len(triggers) == 0 {
			triggers = []string{"auto"}
		}
		for _, trigger := range triggers {
			v := Variant{each.Name, each.Name, trigger}
			if len(triggers) > 1 {
				v.Name += " " + trigger
			}
			switch {
			case !each.Available:
			case each.Name == m.Auto.Model && (trigger == m.Auto.Trigger || len(triggers) == 1):
				first = append(first, v)
			default:
				others = append(others, v)
			}
		}
	}
	return append(first, others...)
}

// Threaded says that the model has a thread a connection, and serves no more connections than it has threads for.
func (v *Variant) Threaded() bool { return v.Model == "blocking" }

// Serves reports whether the model can have so many connections at a time.
func (v *Variant) Serves(connections int) bool {
	return !v.Threaded() || connections+threadsSpare <= threadsMax
}

// Args has evhttpd serve root with that model, for so many connections, on a free port of 127.0.0.1.
func (v *Variant) Args(root string, loops, connections int) []string {
	args := []string{"serve", root, "--listen", "127.0.0.1:0", "--io-model", v.Model, "--trigger", v.Trigger,
		"--loops", strconv.Itoa(loops), "--access-log", "off"}
	if v.Threaded() {
		args = append(args, "--threads", strconv.Itoa(min(connections+threadsSpare, threadsMax)))
	}
	return args
}
