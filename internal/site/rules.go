package site

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/pattern"
	"github.com/evhttpd/evhttpd/internal/static"
)

const (
	// effectsMax bounds the combinations of rules that are remembered. There are few, unless many patterns overlap and
	// somebody looks for paths to combine them.
	effectsMax = 4096
	// networksMax bounds the remembered pairs of one rule's allow and another's deny.
	networksMax = 1024
)

// ruleSet is the set of the rules that match a path, with a bit for each. It is a string so that it can be the key of
// a map.
type ruleSet string

// has reports whether the rule of that number is in the set.
func (m ruleSet) has(rule int) bool { return m[rule/8]>>(rule%8)&1 != 0 }

// union is the set of the rules that are in one of the two.
func (m ruleSet) union(other ruleSet) ruleSet {
	all := []byte(m)
	for i := range all {
		all[i] |= other[i]
	}
	return ruleSet(all)
}

// effect is what the rules that match a path say together: all apply, in order, and the later wins, key by key.
type effect struct {
	view  *static.Site
	edit  *conn.Edit   // of the head of every answer; nil: none
	guard *guard.Guard // nil: everybody may have the path
}

// rules combines the rules of one site. It is safe for use by any number of goroutines.
type rules struct {
	all      []Rule
	patterns []*pattern.Pattern // of the rules, by their numbers
	realms   []*guard.Realm     // by the rules' numbers, as are the origins; nil: the rule says nothing of it
	origins  []*guard.Origins
	index    []string     // names of a directory's index files
	files    *static.Site // without a rule

	mu       sync.Mutex
	effects  map[ruleSet]*effect
	edits    map[[2]ruleSet]*conn.Edit  // of editOfOther
	networks map[[2]int]*guard.Networks // by the numbers of the rules whose allow and deny count; -1: none
}

// newRules checks the rules and makes ready what each says. What they say of files needs the files, which are opened
// later.
func newRules(all []Rule, index []string, passwords *guard.PasswordFiles) (*rules, error) {
	r := &rules{
		all: all, index: index, patterns: make([]*pattern.Pattern, len(all)),
		realms: make([]*guard.Realm, len(all)), origins: make([]*guard.Origins, len(all)),
		effects: make(map[ruleSet]*effect), edits: make(map[[2]ruleSet]*conn.Edit),
		networks: make(map[[2]int]*guard.Networks),
	}
	for i := range all {
		if err := r.prepare(i, &all[i], passwords); err != nil {
			return nil, fmt.Errorf("paths[%d]%w", i, err)
		}
	}
	return r, nil
}

// prepare makes ready what one rule says. Its errors begin with the key.
func (r *rules) prepare(i int, rule *Rule, passwords *guard.PasswordFiles) (err error) {
	if r.patterns[i], err = pattern.New(rule.Match); err != nil {
		return fmt.Errorf(".match: %w", err)
	}
	if rule.Auth != nil {
		if r.realms[i], err = passwords.Realm(rule.Auth); err != nil {
			return fmt.Errorf(".auth.%w", err)
		}
	}
	if r.origins[i], err = guard.NewOrigins(rule.CORS); err != nil {
		return fmt.Errorf(".%w", err)
	}
	if err = rule.check(); err != nil {
		return fmt.Errorf(": %w", err)
	}
	return nil
}

// listed is what the rules say of the names in a listing.
func (r *rules) listed() (paths []static.PathRule) {
	for i := range r.all {
		if rule := &r.all[i]; rule.Hide != nil || rule.guards() {
			paths = append(paths, static.PathRule{Match: r.patterns[i], Hide: rule.Hide, Guards: rule.guards()})
		}
	}
	return paths
}

// matching says which rules match a path. A rule that matches the index file of a directory matches the directory
// too, whose answer that file is.
func (r *rules) matching(path string) ruleSet {
	m := r.exactly(path)
	for _, file := range r.indexes(path) {
		m = m.union(r.exactly(file))
	}
	return m
}

// exactly says which rules match that path and no other.
func (r *rules) exactly(path string) ruleSet {
	m := make([]byte, (len(r.patterns)+7)/8)
	for i, p := range r.patterns {
		if p.Match(path) {
			m[i/8] |= 1 << (i % 8)
		}
	}
	return ruleSet(m)
}

// indexes are the files that may be the answer to a directory; none of another path.
func (r *rules) indexes(path string) (files []string) {
	if len(r.all) > 0 && strings.HasSuffix(path, "/") {
		for _, index := range r.index {
			files = append(files, path+index)
		}
	}
	return files
}

// effect returns what the rules in the set say together.
func (r *rules) effect(m ruleSet) (*effect, error) {
	made := &effect{guard: r.guard(m)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.effects[m]; known != nil {
		return known, nil
	}
	options := r.files.ViewOptions()
	var fields []conn.EditField
	for i := range r.all {
		if m.has(i) {
			fields = fieldsOf(fields, r.all[i].Headers, true)
			r.all[i].view(&options)
		}
	}
	made.edit = conn.NewEdit(fields)
	var err error
	if made.view, err = r.files.View(options); err != nil {
		return nil, err
	}
	if len(r.effects) < effectsMax {
		r.effects[m] = made
	}
	return made, nil
}

// guard returns what the rules in the set say together of who may have a path; nil: nothing.
func (r *rules) guard(m ruleSet) *guard.Guard {
	made := &guard.Guard{}
	allow, deny := -1, -1
	for i := range r.all {
		if !m.has(i) {
			continue
		}
		if len(r.all[i].Allow) > 0 {
			allow = i
		}
		if len(r.all[i].Deny) > 0 {
			deny = i
		}
		if r.realms[i] != nil {
			made.Realm = r.realms[i]
		}
		if r.origins[i] != nil {
			made.Origins = r.origins[i]
		}
	}
	made.Networks = r.networksOf(allow, deny)
	if *made == (guard.Guard{}) {
		return nil
	}
	return made
}

// networksOf returns the networks that one rule allows and another denies. The same two give the same networks, as
// far as they are remembered.
func (r *rules) networksOf(allow, deny int) *guard.Networks {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]int{allow, deny}
	if known, ok := r.networks[key]; ok {
		return known
	}
	var allowed, denied []netip.Prefix
	if allow >= 0 {
		allowed = r.all[allow].Allow
	}
	if deny >= 0 {
		denied = r.all[deny].Deny
	}
	made := guard.NewNetworks(allowed, denied)
	if len(r.networks) < networksMax {
		r.networks[key] = made
	}
	return made
}

// asksMore reports whether own, the guard of a file, is to be asked beside the guard of the path that was asked for,
// which has been: there may be somebody whom only own refuses.
func asksMore(own, asked *guard.Guard) bool {
	if own == nil {
		return false
	}
	if asked == nil {
		asked = &guard.Guard{}
	}
	return own.Networks != nil && own.Networks != asked.Networks || own.Realm != nil && own.Realm != asked.Realm
}

// editOfOther is the Edit of an answer that is the file of another path than the request's, such as the fallback: all
// that the rules of the file's path say, and of those of the request's path what is not about a file.
func (r *rules) editOfOther(request, file ruleSet) *conn.Edit {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.edits[[2]ruleSet{request, file}]; ok {
		return known
	}
	var fields []conn.EditField
	for i := range r.all {
		if request.has(i) || file.has(i) {
			fields = fieldsOf(fields, r.all[i].Headers, file.has(i))
		}
	}
	edit := conn.NewEdit(fields)
	if len(r.edits) < effectsMax {
		r.edits[[2]ruleSet{request, file}] = edit
	}
	return edit
}

// derived is what holds for a file whose path is made of the request's: the rules of both, but what is hidden and
// where links may lead, which the file's own say, whatever the request's path is allowed.
func (r *rules) derived(request ruleSet, file string) (both *effect, view *static.Site, err error) {
	own := r.matching(file)
	if both, err = r.effect(request.union(own)); err != nil {
		return nil, nil, err
	}
	if own == request {
		return both, both.view, nil
	}
	strict, err := r.effect(own)
	if err != nil {
		return nil, nil, err
	}
	options, of := both.view.ViewOptions(), strict.view.ViewOptions()
	options.Hide, options.Links = of.Hide, of.Links
	view, err = both.view.View(options)
	return both, view, err
}
