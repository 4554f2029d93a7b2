package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/scenario"
	"github.com/evhttpd/evhttpd/bench/server"
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

// pickSubjects chooses what is compared: the baseline, which is what auto takes, first; its control; the others.
func (c *comparison) pickSubjects(ctx context.Context) error {
	models, err := server.AskModels(ctx, c.Binary)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := c.pickModels(models); err != nil {
		return err
	}
	for _, text := range c.asked.Targets {
		s, err := parseTarget(ctx, text)
		if err != nil {
			return err
		}
		c.subjects = append(c.subjects, s)
	}
	for i := range c.subjects {
		name := c.subjects[i].Name
		if n := slices.IndexFunc(c.subjects, func(s subject) bool { return s.Name == name }); n < i {
			return mistake("--target %s: there are two of that name: give it another one with NAME=URL", name)
		}
	}
	return nil
}

// pickModels adds the baseline twice, and every other model that is asked for, with the triggers that are asked for
// if it has a choice. Names of models and triggers that there are not, or that cannot run here, are refused.
func (c *comparison) pickModels(models *server.Models) error {
	if err := models.Check(c.Models); err != nil {
		return mistake("%w", err)
	}
	for _, t := range c.asked.Triggers {
		if t != "edge" && t != "level" {
			return mistake("--triggers %q: want edge, level or both", t)
		}
	}
	asked := func(model string) bool { return len(c.Models) == 0 || slices.Contains(c.Models, model) }
	for _, m := range models.Models {
		if !m.Available && asked(m.Name) {
			c.out.Absent = append(c.out.Absent, results.Absent{Name: m.Name, Reason: m.Reason})
		}
	}
	for i, v := range models.Variants() {
		s := results.Subject{Name: v.Name, Model: v.Model, Trigger: v.Trigger}
		chosen := v.Name == v.Model || len(c.asked.Triggers) == 0 || slices.Contains(c.asked.Triggers, v.Trigger)
		if i == 0 || asked(v.Model) && chosen {
			c.subjects = append(c.subjects, subject{Subject: s})
		}
		if i == 0 {
			s.Name, s.Control = v.Name+" (control)", true
			c.subjects = append(c.subjects, subject{Subject: s})
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
	s.Name, s.URL = cmp.Or(name, s.addr.String()), address
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
			c.Note("%s: its process is not seen from here, so its CPU, memory and context switches are not known.",
				s.Name)
		}
		for _, f := range c.files() {
			if err := c.learn(ctx, s, f); err != nil {
				return err
			}
		}
		if len(c.files()) > 1 && !strings.HasSuffix(s.at.Path, "/") {
			c.Note("%s: every cell asks for %s, whatever sizes the cells are named after.", s.Name, s.at.Path)
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
	fail := func(format string, args ...any) error {
		return fmt.Errorf("bench: --target %s: %w", s.Name, fmt.Errorf(format, args...))
	}
	t, fields, err := load.Learn(ctx, s.addr, ask)
	switch location := fields.Get("Location"); {
	case err != nil:
		return fail("%w", err)
	case t.Status >= 300 && t.Status < 400 && location != "":
		return fail("it answers %d for %s, and redirects are not followed: give the URL of what it leads to, %s",
			t.Status, path, location)
	case t.Status != 200:
		return fail("it answers %d for %s: have it serve the folder that --root makes, or give the URL of one file",
			t.Status, path)
	case beneath && string(t.Body) != string(c.bodies[f.Name]):
		return fail("%s is not the file of --root: have it serve that folder, or give the URL of one file", path)
	case !beneath:
		again, _, err := load.Learn(ctx, s.addr, ask)
		if err != nil {
			return fmt.Errorf("bench: --target %s, asked twice: %w", s.Name, err)
		}
		if text := t.Keep(again); text != "" {
			c.Note("%s: two answers for %s differ in their %s, which is not checked therefore.", s.Name, path, text)
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
