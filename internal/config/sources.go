package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Sources are what a configuration is read from. They may be read again, as a reload does: the file may have changed,
// while flags and variables are those that the process was started with.
type Sources struct {
	Flags   map[string][]string // by name, as typed; a flag that was not typed is not there
	Environ []string            // NAME=value, as [os.Environ] has it
	Root    *string             // ROOT; nil: it was not typed
	// AnyRoot says that nothing will be served by this configuration, so that the file need not say what is served.
	AnyRoot bool

	// Subcommand names the subcommand that may have been meant by a ROOT which does not exist; empty: none. It may be
	// nil.
	Subcommand func(root string) string

	looks func(root string) // is told of each root before it is looked at; it may be nil
}

// Effective is a checked configuration, with the origins of its values.
type Effective struct {
	Config Config
	File   string // the configuration file; empty: there was none

	origins origins
}

// File is the name of the configuration file; empty: there is none.
func (s *Sources) File() string {
	name, _ := s.file()
	return name
}

// file is the name of the configuration file, and what gave it.
func (s *Sources) file() (string, Origin) {
	if values := s.Flags[fileFlag]; len(values) > 0 {
		return values[len(values)-1], Origin{Name: "--" + fileFlag}
	}
	if value := s.environ(variable(fileFlag)); value != "" {
		return value, Origin{Name: variable(fileFlag)}
	}
	return "", Origin{}
}

// environ is the value of a variable. An empty variable is as good as none, because compose files and shells pass on
// empty what nobody has set.
func (s *Sources) environ(name string) string {
	for _, entry := range s.Environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// Load reads the sources and checks them whole. An error is an [*Error] with everything that is wrong. Load opens
// only the file and the files of passwords, and looks at the roots. So it may be called beside a running server. It
// may block on a file system.
func (s *Sources) Load() (*Config, error) {
	e, err := s.Effective()
	return &e.Config, err
}

// LoadTelling is Load, and tells of each root before it looks at it.
func (s *Sources) LoadTelling(looks func(root string)) (*Config, error) {
	with := *s
	with.looks = looks
	return with.Load()
}

// Effective is Load with the origin of each value.
func (s *Sources) Effective() (*Effective, error) {
	e := &Effective{Config: Default(), origins: make(origins)}
	p := &problems{bad: make(map[string]bool)}
	name, from := s.file()
	e.File = name
	switch {
	case name != "":
		r := &reader{problems: p, file: name, origins: e.origins}
		r.readFile(&e.Config)
	case from.Name != "":
		p.add(fileFlag, from, `"": want the name of a YAML file`)
	}
	hasSites := e.origins["sites"]
	if name == "" {
		e.Config.Sites[0].Listing = true // who runs the server in a folder wants to see what is there
	}
	for _, f := range flags {
		if value := s.environ(f.Variable()); value != "" {
			s.apply(f, []string{value}, Origin{Name: f.Variable()}, hasSites, e, p)
		}
		if values := s.Flags[f.Name]; len(values) > 0 {
			s.apply(f, values, Origin{Name: "--" + f.Name}, hasSites, e, p)
		}
	}
	s.root(hasSites, e, p)
	check(e, p, s)
	return e, p.err()
}

// apply takes over one flag or variable.
func (s *Sources) apply(f Flag, values []string, o Origin, hasSites Origin, e *Effective, p *problems) {
	if f.ofSite() && hasSites.Line > 0 {
		p.add(f.Key, o, "%q: %s has sites in line %d: say it there, or leave sites out", strings.Join(values, ","),
			hasSites.File, hasSites.Line)
		return
	}
	f.set(&e.Config, values, o, p)
	e.origins[f.Key] = o
}

// root takes over ROOT.
func (s *Sources) root(hasSites Origin, e *Effective, p *problems) {
	if s.Root == nil {
		return
	}
	o := Origin{Name: fromRoot}
	if hasSites.Line > 0 {
		p.add("", o, "%q: %s has sites in line %d: say root there, or leave sites out", *s.Root, hasSites.File,
			hasSites.Line)
		return
	}
	e.Config.Sites[0].Root = *s.Root
	e.origins["sites[0].root"] = o
}

// checkRoot says why a root cannot be served. listing says that it is to be listed too.
func (s *Sources) checkRoot(root string, listing bool, o Origin) error {
	if s.looks != nil {
		s.looks(root)
	}
	if root == "" {
		return errors.New("is empty: give the directory to serve, . for the current one")
	}
	info, err := os.Stat(root)
	switch {
	case err == nil && info.IsDir():
		return mayServe(root, listing)
	case err == nil:
		return fmt.Errorf("%q: is a file, not a directory; to serve it, give its directory", root)
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%q: %s", root, reason(err))
	}
	if o.Name == fromRoot && s.Subcommand != nil && !strings.Contains(root, "/") {
		if meant := s.Subcommand(root); meant != "" {
			return fmt.Errorf("%q: there is no such directory; did you mean \"evhttpd %s\"?", root, meant)
		}
	}
	return fmt.Errorf("%q: there is no such directory to serve", root)
}

// mayServe says which permission this process lacks to serve a root.
func mayServe(root string, listing bool) error {
	// A name is looked up in the root: that takes the right to search it (path_resolution(7)).
	if _, err := os.Stat(root + "/."); err != nil {
		return fmt.Errorf("%q: %s: let user %d search it (chmod o+x), or run as one who may", root, reason(err),
			os.Geteuid())
	}
	if !listing {
		return nil
	}
	f, err := os.Open(root)
	if err != nil {
		return fmt.Errorf("%q: %s to list it: let user %d read it (chmod o+r), or set listing to off", root,
			reason(err), os.Geteuid())
	}
	return f.Close()
}
