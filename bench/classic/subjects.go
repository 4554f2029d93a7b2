package classic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// modelsMax bounds the time that the program takes to list its models.
const modelsMax = 20 * time.Second

// variant is an IO model with a trigger.
type variant struct {
	Name, Model, Trigger string
}

// variants asks the program for the models that can run here, with each trigger that they have: what auto takes first.
func (s *Session) variants(ctx context.Context) ([]variant, error) {
	ctx, cancel := context.WithTimeout(ctx, modelsMax)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.Binary, "models", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("%s models --json: %w", s.Binary, err)
	}
	all, err := parseVariants(out)
	if err != nil {
		return nil, err
	}
	return pickVariants(all, s.Models)
}

// pickVariants leaves those of the named models; without names all.
func pickVariants(all []variant, names []string) ([]variant, error) {
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(v variant) bool { return v.Model == name }) {
			return nil, mistake("--models %q: there is no such model here (evhttpd models)", name)
		}
	}
	return slices.DeleteFunc(all, func(v variant) bool { return !slices.Contains(names, v.Model) }), nil
}

func parseVariants(text []byte) ([]variant, error) {
	var said struct {
		Auto   *struct{ Model, Trigger string }
		Models []struct {
			Name      string
			Available bool
			Triggers  []string
		}
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("evhttpd models --json: %w", err)
	}
	if said.Auto == nil {
		return nil, errors.New("no model that `--io-model auto` takes can run here")
	}
	var first, others []variant
	for _, m := range said.Models {
		triggers := m.Triggers
		if !m.Available {
			continue
		}
		if len(triggers) == 0 {
			triggers = []string{"auto"}
		}
		for _, trigger := range triggers {
			v := variant{m.Name, m.Name, trigger}
			if len(triggers) > 1 {
				v.Name += " " + trigger
			}
			if m.Name == said.Auto.Model && trigger == said.Auto.Trigger {
				first = append(first, v)
			} else {
				others = append(others, v)
			}
		}
	}
	return append(first, others...), nil
}

// threaded says that the model has a thread a connection, and serves no more than it has threads for.
func (v *variant) threaded() bool { return v.Model == "blocking" }

// args is how evhttpd serves root with that model for so many connections.
func (v *variant) args(root string, loops, connections int) []string {
	args := []string{"serve", root, "--listen", "127.0.0.1:0", "--io-model", v.Model, "--trigger", v.Trigger,
		"--loops", strconv.Itoa(loops), "--access-log", "off"}
	if v.threaded() {
		args = append(args, "--threads", strconv.Itoa(min(connections+threadsSpare, threadsMax)))
	}
	return args
}

const (
	// threadsMax is the most that the server takes for its blocking model.
	threadsMax = 8192
	// threadsSpare: with all its threads taken, the model would make each answer its connection's last.
	threadsSpare = 16
)
