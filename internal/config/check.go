package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/iomodel"
)

// checker looks for values that do not go together, after each value alone has been found right.
type checker struct {
	*Effective
	*problems
}

// wrong notes a problem of the value at path.
func (c *checker) wrong(path, format string, args ...any) {
	c.add(path, c.origins.near(path), format, args...)
}

// where names another value with its place, for a conflict.
func (c *checker) where(path string) string {
	switch o := c.origins.of(path); {
	case o.Line > 0:
		return fmt.Sprintf("%s in line %d", path, o.Line)
	default:
		return cmp.Or(o.Name, "the default of "+path)
	}
}

// check looks for what is wrong with values together, and on this machine.
func check(e *Effective, p *problems, s *Sources) {
	c := &checker{e, p}
	c.model()
	c.sizes()
	c.addresses()
	c.logs()
	c.hosts()
	for i := range e.Config.Sites {
		path := fmt.Sprintf("sites[%d]", i)
		c.site(path, &e.Config.Sites[i])
		if at := path + ".root"; c.fine(at) {
			if err := s.checkRoot(e.Config.Sites[i].Root, e.Config.Sites[i].Listing, e.origins.of(at)); err != nil {
				c.wrong(at, "%v", err)
			}
		}
		c.passwords(path, e.Config.Sites[i].Rules)
	}
	c.served(s)
}

// served finds a file that does not say what is to be served. Without a file that is the working directory, which a
// file that was emptied or cut off does not mean. A file in which something else is wrong is left alone: the
// misspelled key may be its sites.
func (c *checker) served(s *Sources) {
	inFile := func(p Problem) bool { return p.File == c.File }
	if c.File == "" || s.Root != nil || s.AnyRoot || c.origins["sites"].Line > 0 ||
		slices.ContainsFunc(c.all, inFile) {
		return
	}
	c.all = append(c.all, Problem{Origin{File: c.File},
		"says nothing of what is to be served: add sites, such as sites: [{root: /srv/www}], or give ROOT " +
			"on the command line"})
}

// passwords finds files of users that cannot be used.
func (c *checker) passwords(path string, rules []site.Rule) {
	for i, r := range rules {
		at := fmt.Sprintf("%s.paths[%d].auth.htpasswd", path, i)
		if r.Auth == nil || !c.fine(at) {
			continue
		}
		if err := guard.CheckHtpasswd(r.Auth.Htpasswd); err != nil {
			c.wrong(at, "%q: %v", r.Auth.Htpasswd, err)
		}
	}
}

func (c *checker) model() {
	if !c.fine("io_model") {
		return
	}
	// If the trigger was wrong, it has kept its default, auto, so that the model's name is checked all the same.
	if _, err := iomodel.Resolve(c.Config.IOModel, c.Config.Trigger); err != nil {
		c.wrong("io_model", "%v", err)
	}
}

func (c *checker) sizes() {
	l, cache := c.Config.Limits, c.Config.Cache
	if l.RequestLine > l.Head {
		c.exceeds("limits.request_line", int64(l.RequestLine), "limits.head", int64(l.Head))
	}
	if cache.File > cache.Memory && cache.Memory > 0 {
		c.exceeds("cache.file", cache.File, "cache.memory", cache.Memory)
	}
}

// exceeds notes that a part is larger than its whole. The problem is put where somebody has set one of the two.
func (c *checker) exceeds(part string, partSize int64, whole string, wholeSize int64) {
	switch {
	case !c.fine(part, whole):
	case c.origins.of(part) == Origin{}:
		c.wrong(whole, "%q: is less than its part %s: want at least %s, or set that too", FormatSize(wholeSize),
			part, FormatSize(partSize))
	default:
		c.wrong(part, "%q: is more than the whole that it is a part of: want at most %s (%s)", FormatSize(partSize),
			FormatSize(wholeSize), c.where(whole))
	}
}

// addresses finds addresses of the control plane at which clients are served too.
func (c *checker) addresses() {
	for i, a := range c.Config.Admin.Listen {
		if j := slices.Index(c.Config.Listen, a); j >= 0 && repeats(a) && c.fine("listen", "admin.listen") {
			c.wrong(fmt.Sprintf("admin.listen[%d]", i),
				"%q: clients are served there (%s): want an address of its own", a,
				c.where(fmt.Sprintf("listen[%d]", j)))
		}
	}
}

func (c *checker) logs() {
	events, access := c.Config.Log.Output, c.Config.AccessLog.Output
	if events == access && c.fine("log.output", "access_log.output") {
		c.wrong("log.output", "%q: access lines are written there (%s): want a file of its own", events,
			c.where("access_log.output"))
	}
}

// hosts finds sites that no request can reach.
func (c *checker) hosts() {
	first := make(map[string]string)
	for i, s := range c.Config.Sites {
		for j, host := range s.Hosts {
			path := fmt.Sprintf("sites[%d].hosts[%d]", i, j)
			by := first[host]
			if by == "" && j == 0 && i > 0 {
				by = first["*"]
			}
			if by != "" && c.fine(path) {
				c.wrong(path,
					"%q: is never reached: %s comes first and matches it; put this site before it, or remove "+
						"one of them", host, c.where(by))
			}
			if first[host] == "" {
				first[host] = path
			}
		}
	}
}

func (c *checker) site(path string, s *site.Site) {
	for i, r := range s.Redirects {
		from, to := fmt.Sprintf("%s.redirects[%d].from", path, i), fmt.Sprintf("%s.redirects[%d].to", path, i)
		if c.fine(from, to) {
			if err := r.Check(c.where(from)); err != nil {
				c.wrong(to, "%v", err)
			}
		}
	}
	for i := range s.Rules {
		c.rule(fmt.Sprintf("%s.paths[%d]", path, i), &s.Rules[i])
	}
}

func (c *checker) rule(path string, r *site.Rule) {
	said := *r
	said.Match = ""
	if c.fine(path+".match") && reflect.ValueOf(said).IsZero() && !c.anyBad(path) {
		c.wrong(path+".match", "%q: nothing is said of these paths: add headers, listing, allow or another key",
			r.Match)
	}
	for i, network := range r.Deny {
		if slices.Contains(r.Allow, network) {
			c.wrong(fmt.Sprintf("%s.deny[%d]", path, i), "%q: is allowed too (%s): remove one of them", network,
				c.where(path+".allow"))
		}
	}
	names := make(map[string]string)
	for name := range r.Headers {
		lower := strings.ToLower(name)
		if other, twice := names[lower]; twice {
			one, two := min(name, other), max(name, other) // maps have no order
			c.wrong(path+".headers["+two+"]", "%q: is the same field as %q: keep one of them", two, one)
		}
		names[lower] = name
	}
	if r.CORS != nil {
		r.CORS.Check(func(key, text string) { c.wrong(path+".cors."+key, "%s", text) })
	}
}

// anyBad reports whether a value beneath path is wrong.
func (c *checker) anyBad(path string) bool {
	for bad := range c.bad {
		if strings.HasPrefix(bad, path+".") {
			return true
		}
	}
	return false
}
