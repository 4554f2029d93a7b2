package experiment

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// TestRoundsAreInterleaved: each round measures every cell once, and not always in the same order.
func TestRoundsAreInterleaved(t *testing.T) {
	s := &Session{Options: Options{Rounds: 8, Seed: 1}}
	order := make([][]int, s.Rounds)
	err := s.Each(t.Context(), 1, 5, func(int) string { return "" }, func(round, cell int) error {
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
	err := s.Each(ctx, 1, 4, func(int) string { return "" }, func(int, int) error {
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
	err := s.Each(ctx, 1, len(g.Subjects), func(int) string { return "" }, func(round, cell int) error {
		g.Add(round, 0, cell, map[string]float64{"m": 1})
		if len(g.Samples) == 2*len(g.Subjects)+1 {
			cancel()
		}
		return nil
	})
	if err != nil || !errors.Is(s.Ended, context.Canceled) || s.Rounds != 2 {
		t.Fatalf("%v, ended by %v after %d rounds", err, s.Ended, s.Rounds)
	}
	g.Keep(s.Rounds)
	for subject := range g.Subjects {
		if f, ok := g.Figure(0, subject, "m"); !ok || f.N != 2 {
			t.Errorf("subject %d: %+v", subject, f)
		}
	}
}
