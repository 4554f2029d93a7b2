//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package lab

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
)

func TestTheListIsWhole(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range All() {
		if c.Name == "" || c.Shows == "" || c.Source == "" || c.run == nil || seen[c.Name] {
			t.Errorf("%+v lacks something, or there are two of its name", c)
		}
		seen[c.Name] = true
		if !strings.HasSuffix(c.Shows, ".") || !strings.HasSuffix(c.Source, ".") {
			t.Errorf("%s: what it shows and where it comes from are sentences", c.Name)
		}
	}
}

func TestUnknownNamesAndNumbersAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		o    experiment.Options
		says []string
	}{
		{"nothing", experiment.Options{}, Names()},
		{"waits", experiment.Options{Rounds: -1}, []string{"--rounds -1"}},
		{"waits", experiment.Options{Rounds: 1 << 20}, []string{"--rounds"}},
		{"waits", experiment.Options{Duration: -time.Second}, []string{"--duration -1s"}},
		{"starve", experiment.Options{Duration: starveMax + 1}, []string{"--duration", "30s"}},
	} {
		_, err := Run(t.Context(), c.name, c.o)
		if !errors.As(err, new(*experiment.OptionError)) {
			t.Errorf("%s, %+v: %v", c.name, c.o, err)
			continue
		}
		for _, says := range c.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s, %+v: %q does not say %q", c.name, c.o, err, says)
			}
		}
	}
}
