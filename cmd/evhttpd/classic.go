package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evhttpd/evhttpd/bench"
	"github.com/evhttpd/evhttpd/bench/classic"
)

// classicFlags are those of bench that a classic honours too.
var classicFlags = []string{"classic", "rounds", "duration", "seed", "out"}

// classicsLong lists the classics for bench's help.
func classicsLong() string {
	var b strings.Builder
	b.WriteString("\n\nWith --classic NAME an experiment is made again that everyone cites, in under two minutes,\nwith the published figures beside those of this machine (docs/benchmarks.md):\n")
	for _, c := range classic.All() {
		fmt.Fprintf(&b, "\n  %-8s %s", c.Name, c.Shows)
	}
	return b.String()
}

// comparesModels reports whether the classic of that name has a choice of models.
func comparesModels(name string) bool {
	return slices.ContainsFunc(classic.All(), func(c classic.Classic) bool { return c.Name == name && c.Models })
}

func runClassic(c *cobra.Command, name string, o bench.Options, out string) error {
	if !slices.Contains(classic.Names(), name) {
		return &usageError{fmt.Errorf("--classic %q: there is no such experiment; there are: %s", name, strings.Join(classic.Names(), ", "))}
	}
	var other []string
	c.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(classicFlags, f.Name) && (f.Name != "models" || !comparesModels(name)) {
			other = append(other, "--"+f.Name)
		}
	})
	if len(other) > 0 {
		return &usageError{fmt.Errorf("--classic settles by itself what is compared: leave out %s", strings.Join(other, ", "))}
	}
	return compare(c, out, func(ctx context.Context, bar *progress) (comparison, error) {
		r, err := classic.Run(ctx, name, classic.Options{Binary: o.Binary, Version: o.Version, Command: o.Command,
			Rounds: o.Rounds, Duration: o.Duration, Seed: o.Seed, Models: o.Models, Progress: bar.step, Say: bar.say})
		if r == nil {
			return nil, err
		}
		return r, err
	})
}
