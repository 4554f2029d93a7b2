//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package classic

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheListIsWhole(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range All() {
		if c.Name == "" || c.Shows == "" || c.Source == "" || c.Run == nil || seen[c.Name] {
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
		o    Options
		says []string
	}{
		{"nothing", Options{}, Names()},
		{"waits", Options{Rounds: -1}, []string{"--rounds -1"}},
		{"waits", Options{Rounds: 1 << 20}, []string{"--rounds"}},
		{"waits", Options{Duration: -time.Second}, []string{"--duration -1s"}},
	} {
		_, err := Run(t.Context(), c.name, c.o)
		if !errors.Is(err, ErrOptions) {
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

// TestRoundsAreInterleaved: each round measures every cell once, and not always in the same order.
func TestRoundsAreInterleaved(t *testing.T) {
	s := &Session{Options: Options{Rounds: 8, Seed: 1}}
	order := make([][]int, s.Rounds)
	err := s.Each(t.Context(), 5, func(int) string { return "" }, func(round, cell int) error {
		order[round] = append(order[round], cell)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	differ := false
	for _, cells := range order {
		differ = differ || !slices.Equal(cells, order[0])
		sorted := slices.Sorted(slices.Values(cells))
		if !slices.Equal(sorted, []int{0, 1, 2, 3, 4}) {
			t.Errorf("a round measured %v", cells)
		}
	}
	if !differ {
		t.Errorf("every round had the order %v", order[0])
	}
}

func TestCancellationEndsTheRounds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &Session{Options: Options{Rounds: 3}}
	calls := 0
	err := s.Each(ctx, 4, func(int) string { return "" }, func(int, int) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%d calls, then %v", calls, err)
	}
}

// TestWholeRoundsAreKept: what ends a later round leaves those before it, and no more of it.
func TestWholeRoundsAreKept(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &Session{Options: Options{Rounds: 5}}
	g := sampled()
	g.Samples = nil
	err := s.Each(ctx, len(g.Subjects), func(int) string { return "" }, func(round, cell int) error {
		g.Add(round, 0, cell, map[string]float64{"m": 1})
		if len(g.Samples) == 2*len(g.Subjects)+1 {
			cancel()
		}
		return nil
	})
	if err != nil || !errors.Is(s.ended, context.Canceled) || s.Rounds != 2 {
		t.Fatalf("%v, ended by %v after %d rounds", err, s.ended, s.Rounds)
	}
	g.keep(s.Rounds)
	for subject := range g.Subjects {
		if f, ok := g.Figure(0, subject, "m"); !ok || f.N != 2 {
			t.Errorf("subject %d: %+v", subject, f)
		}
	}
}
