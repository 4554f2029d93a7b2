package site

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/evhttpd/evhttpd/internal/guard"
)

// guards reports whether a is to be asked of a file beside the guard of the path
// that was asked for, which has been: there is somebody whom only a refuses.
func guards(a, asked *guard.Guard) bool {
	switch {
	case a == nil:
		return false
	case asked == nil:
		return a.Networks != nil || a.Realm != nil
	}
	return a.Networks != nil && a.Networks != asked.Networks || a.Realm != nil && a.Realm != asked.Realm
}

// accesses are the guards of one site, by the rules that make them. It is safe
// for use by any number of goroutines.
type accesses struct {
	rules   []Rule
	realms  []*guard.Realm // by rule
	origins []*guard.Origins

	mu   sync.Mutex
	made map[accessKey]*guard.Guard
}

// accessKey is which rules an access is of, for each of its keys the last that says something; -1: none.
type accessKey struct{ allow, deny, auth, cors int }

// accessesMax bounds those that are remembered; others are made each time that a path is worked out.
const accessesMax = 1024

// newAccesses makes ready what the rules say. files are those of passwords that have been read.
func newAccesses(rules []Rule, files *guard.PasswordFiles) (*accesses, error) {
	a := &accesses{rules: rules, made: make(map[accessKey]*guard.Guard)}
	for i, r := range rules {
		var realm *guard.Realm
		if r.Auth != nil {
			var err error
			if realm, err = files.Realm(r.Auth); err != nil {
				return nil, fmt.Errorf("paths[%d].auth.%w", i, err)
			}
		}
		origins, err := guard.NewOrigins(r.CORS)
		if err != nil {
			return nil, fmt.Errorf("paths[%d].%w", i, err)
		}
		a.realms, a.origins = append(a.realms, realm), append(a.origins, origins)
	}
	return a, nil
}

// of returns what the rules that match say together; nil if nothing. matching is as host.matching has it.
func (a *accesses) of(matching string) *guard.Guard {
	key := accessKey{-1, -1, -1, -1}
	for i := range a.rules {
		if matching[i] == no {
			continue
		}
		r := &a.rules[i]
		if len(r.Allow) > 0 {
			key.allow = i
		}
		if len(r.Deny) > 0 {
			key.deny = i
		}
		if r.Auth != nil {
			key.auth = i
		}
		if r.CORS != nil {
			key.cors = i
		}
	}
	if key == (accessKey{-1, -1, -1, -1}) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if made := a.made[key]; made != nil {
		return made
	}
	made := a.make(key)
	if len(a.made) < accessesMax {
		a.made[key] = made
	}
	return made
}

func (a *accesses) make(key accessKey) *guard.Guard {
	made := &guard.Guard{}
	var allow, deny []netip.Prefix
	if key.allow >= 0 {
		allow = a.rules[key.allow].Allow
	}
	if key.deny >= 0 {
		deny = a.rules[key.deny].Deny
	}
	made.Networks = guard.NewNetworks(allow, deny)
	if key.auth >= 0 {
		made.Realm = a.realms[key.auth]
	}
	if key.cors >= 0 {
		made.Origins = a.origins[key.cors]
	}
	return made
}
