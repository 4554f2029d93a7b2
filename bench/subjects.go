package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/scenario"
)

// subject is a server that is compared.
type subject struct {
	results.Subject
	// Of another server:
	addr    load.Addr
	at      load.URL
	targets map[string]load.Target // by file name
	pids    []int                  // of its processes, if they are on this machine
}

// model is what `evhttpd models --json` says of one.
type model struct {
	Name      string   `json:"name"`
	Available bool     `json:"available"`
	Reason    string   `json:"reason"`
	Triggers  []string `json:"triggers"`
}

// modelsMax bounds the time that the program takes to list its models.
const modelsMax = 20 * time.Second

// askModels has the program list its models: it is measured from outside, and asked from there too.
func askModels(ctx context.Context, binary string) (models []model, auto subject, err error) {
	ctx, cancel := context.WithTimeout(ctx, modelsMax)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "models", "--json").Output()
	if err != nil {
		return nil, auto, fmt.Errorf("bench: %s models --json: %w", binary, err)
	}
	var said struct {
		Auto   *struct{ Model, Trigger string } `json:"auto"`
		Models []model                          `json:"models"`
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return nil, auto, fmt.Errorf("bench: %s models --json: %w", binary, err)
	}
	if said.Auto == nil {
		return nil, auto, errors.New("bench: no model that `--io-model auto` takes can run here, and it is what others are compared with")
	}
	auto.Model, auto.Trigger = said.Auto.Model, said.Auto.Trigger
	return said.Models, auto, nil
}

// pickSubjects chooses who is compared: the baseline, which is what auto takes, first; its control; the others.
func (c *comparison) pickSubjects(ctx context.Context) error {
	models, auto, err := askModels(ctx, c.Binary)
	if err != nil {
		return err
	}
	if err := c.checkNames(models); err != nil {
		return err
	}
	for _, m := range models {
		switch {
		case len(c.Models) > 0 && !slices.Contains(c.Models, m.Name) && m.Name != auto.Model:
			continue
		case !m.Available:
			c.out.Absent = append(c.out.Absent, results.Absent{Name: m.Name, Reason: m.Reason})
			continue
		}
		c.addModel(m, auto)
	}
	// The baseline comes first, whatever the order of the models.
	slices.SortStableFunc(c.subjects, func(a, b subject) int { return rank(a, auto) - rank(b, auto) })
	for _, text := range c.Targets {
		s, err := parseTarget(ctx, text)
		if err != nil {
			return err
		}
		c.subjects = append(c.subjects, s)
	}
	for i := range c.subjects {
		if n := slices.IndexFunc(c.subjects, func(s subject) bool { return s.Name == c.subjects[i].Name }); n < i {
			return mistake("--target %s: there are two of that name: give it another one with NAME=URL", c.subjects[i].Name)
		}
	}
	return nil
}

// rank is 0 for the baseline, 1 for its control, 2 for others.
func rank(s, auto subject) int {
	switch {
	case s.Control:
		return 1
	case s.Model == auto.Model && s.Trigger == auto.Trigger:
		return 0
	default:
		return 2
	}
}

// addModel adds a model once for each trigger that is asked for; the baseline twice in any case.
func (c *comparison) addModel(m model, auto subject) {
	if len(m.Triggers) == 0 {
		c.subjects = append(c.subjects, subject{Subject: results.Subject{Name: m.Name, Model: m.Name, Trigger: "auto"}})
		return
	}
	for _, trigger := range m.Triggers {
		s := results.Subject{Name: m.Name, Model: m.Name, Trigger: trigger}
		if len(m.Triggers) > 1 {
			s.Name += " " + trigger
		}
		if m.Name == auto.Model && trigger == auto.Trigger {
			control := s
			control.Name, control.Control = s.Name+" (control)", true
			c.subjects = append(c.subjects, subject{Subject: s}, subject{Subject: control})
			continue
		}
		asked := len(c.Models) == 0 || slices.Contains(c.Models, m.Name)
		chosen := len(m.Triggers) == 1 || len(c.Triggers) == 0 || slices.Contains(c.Triggers, trigger)
		if asked && chosen {
			c.subjects = append(c.subjects, subject{Subject: s})
		}
	}
}

// checkNames refuses models and triggers that there are not, or that cannot run here though they were asked for.
func (c *comparison) checkNames(models []model) error {
	var names []string
	for _, m := range models {
		if m.Available {
			names = append(names, m.Name)
		}
	}
	for _, name := range c.Models {
		i := slices.IndexFunc(models, func(m model) bool { return m.Name == name })
		switch {
		case i < 0:
			return mistake("--models %q: there is no such model; available here: %s", name, strings.Join(names, ", "))
		case !models[i].Available:
			return mistake("--models %q: %s; available here: %s", name, models[i].Reason, strings.Join(names, ", "))
		}
	}
	for _, t := range c.Triggers {
		if t != "edge" && t != "level" {
			return mistake("--triggers %q: want edge, level or both", t)
		}
	}
	return nil
}

// parseTarget reads [NAME=]URL and finds the address at which the server listens.
func parseTarget(ctx context.Context, text string) (subject, error) {
	var s subject
	name, address, named := strings.Cut(text, "=")
	if !named || strings.Contains(name, "/") {
		name, address = "", text
	}
	var err error
	if s.at, err = load.ParseURL(address); err != nil {
		return s, mistake("--target %q: %w", text, err)
	}
	if s.addr, err = s.at.Find(ctx); err != nil {
		return s, fmt.Errorf("bench: --target %q: %w", text, err)
	}
	if _, isTCP := s.addr.TCP(); name == "" && isTCP {
		name = s.at.Host
	}
	s.Name, s.URL = orElse(name, s.addr.String()), address
	return s, nil
}

// learnTargets asks every other server for what it will be asked for, and checks that it is what it should be.
func (c *comparison) learnTargets(ctx context.Context) error {
	for i := range c.subjects {
		s := &c.subjects[i]
		if s.URL == "" {
			continue
		}
		s.targets = make(map[string]load.Target)
		s.pids = listeners(s.addr)
		if len(s.pids) == 0 {
			c.note(s.Name + ": its process is not seen from here, so its CPU, memory and context switches are not known.")
		}
		for _, f := range c.files() {
			if err := c.learn(ctx, s, f); err != nil {
				return err
			}
		}
		if len(c.files()) > 1 && !strings.HasSuffix(s.at.Path, "/") {
			c.note(fmt.Sprintf("%s: every cell asks for %s, whatever sizes the cells are named after.", s.Name, s.at.Path))
		}
	}
	return nil
}

// listeners are the processes behind an address.
func listeners(addr load.Addr) []int {
	if path, ok := addr.Unix(); ok {
		return machine.UnixListeners(path)
	}
	tcp, _ := addr.TCP()
	return machine.Listeners(tcp)
}

// learn asks a target for a file. What is not the file of --root may be made anew for each
// request: what changes between two answers is not what later ones are compared with.
func (c *comparison) learn(ctx context.Context, s *subject, f scenario.File) error {
	path := s.at.Path
	beneath := strings.HasSuffix(path, "/")
	if beneath {
		path += f.Name
	}
	ask := load.Target{Path: path, Host: s.at.Host}
	t, fields, err := load.Learn(ctx, s.addr, ask)
	switch location := fields.Get("Location"); {
	case err != nil:
		return fmt.Errorf("bench: --target %s: %w", s.Name, err)
	case t.Status >= 300 && t.Status < 400 && location != "":
		return fmt.Errorf("bench: --target %s: it answers %d for %s, and redirects are not followed: give the URL of what "+
			"it leads to, %s",
			s.Name, t.Status, path, location)
	case t.Status != 200:
		return fmt.Errorf("bench: --target %s: it answers %d for %s: have it serve the folder that --root makes, or give the URL of one file", s.Name, t.Status, path)
	case beneath && string(t.Body) != string(c.bodies[f.Name]):
		return fmt.Errorf("bench: --target %s: %s is not the file of --root: have it serve that folder, or give the URL of one file", s.Name, path)
	case !beneath:
		again, _, err := load.Learn(ctx, s.addr, ask)
		if err != nil {
			return fmt.Errorf("bench: --target %s, asked twice: %w", s.Name, err)
		}
		if text := t.Keep(again); text != "" {
			c.note(fmt.Sprintf("%s: two answers for %s differ in their %s, which is not checked therefore.", s.Name, path, text))
		}
	}
	s.targets[f.Name] = t
	return nil
}

// files are all that the cells ask for, each once.
func (c *comparison) files() []scenario.File {
	var all []scenario.File
	for i := range c.cells {
		for _, f := range c.cells[i].Files {
			if !slices.ContainsFunc(all, func(had scenario.File) bool { return had.Name == f.Name }) {
				all = append(all, f)
			}
		}
	}
	return all
}
