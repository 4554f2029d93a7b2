package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/lab"
	"github.com/evhttpd/evhttpd/iomodel"
)

const labLong = `Make an experiment on this machine: one that everyone cites when event mechanisms
are compared, with the published figures beside those of this machine
(docs/benchmarks.md), or one that shows what a design decision of the server is for.
Each takes under two minutes by itself. Servers are this program, on free ports of
127.0.0.1, and end with the command.`

func labCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "Make an experiment on this machine",
		Long:  labLong,
		Args:  arguments(0, "no experiment %q"),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, e := range lab.All() {
		c.AddCommand(experimentCommand(e))
	}
	return c
}

func experimentCommand(e lab.Experiment) *cobra.Command {
	c := &cobra.Command{
		Use:   e.Name,
		Short: strings.TrimSuffix(e.Shows, "."),
		Long:  e.Shows + " After " + e.Source,
		Args:  noArguments,
	}
	o := experiment.Options{}
	fs := c.Flags()
	fs.SortFlags = false
	if e.Models {
		fs.StringSliceVar(&o.Models, "models", nil, "`names` of the models to compare (default all)")
		completeList(c, "models", iomodel.Names())
	}
	fs.IntVar(&o.Rounds, "rounds", 0, "`number` of times that everything is measured (default as the experiment takes)")
	fs.DurationVar(&o.Duration, "duration", 0, "how `long` a measurement is (default as the experiment takes)")
	fs.Uint64Var(&o.Seed, "seed", 1, "`number` that settles the order within rounds")
	out := fs.String("out", "", "`folder` for the tables, charts, and the results as JSON and CSV")
	asJSON := fs.Bool("json", false, "write the results as one JSON object instead of text")
	completeDirectories(c, "out")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if fs.Changed("rounds") && o.Rounds == 0 || fs.Changed("duration") && o.Duration == 0 {
			return &usageError{errors.New("--rounds and --duration must be more than 0")}
		}
		return runLab(c, e.Name, o, *out, *asJSON)
	}
	return c
}

// runLab makes the experiment of that name.
func runLab(c *cobra.Command, name string, o experiment.Options, out string, asJSON bool) error {
	return compare(c, &o, out, asJSON, func(ctx context.Context) (comparison, error) {
		r, err := lab.Run(ctx, name, o)
		if r == nil {
			return nil, err
		}
		return r, err
	})
}
