package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/bench/lab"
)

func labCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "Show on this machine what a design decision of the server is for",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("no experiment %q; see \"%s --help\"", args[0], c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(starveCommand())
	return c
}

const starveLong = `Starvation, shown and cured. One loop serves small requests at a fixed rate
beside a connection that pipelines without end and a large download: with the
bound on a connection's turn (--turn-requests, --turn-bytes) and without it,
level- and edge-triggered. The servers are this program, on free ports of
127.0.0.1, and end with the command.`

func starveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "starve",
		Short: "Small requests beside a greedy client, with and without the bound on a turn",
		Long:  starveLong,
		Args:  noArguments,
	}
	o := lab.Options{}
	fs := c.Flags()
	fs.SortFlags = false
	fs.DurationVar(&o.Duration, "duration", 2*time.Second, fmt.Sprintf("how `long` each case is measured in each round, at most %v", lab.DurationMax))
	fs.IntVar(&o.Rounds, "rounds", 3, fmt.Sprintf("`number` of times that each case is measured, at most %d", lab.RoundsMax))
	asJSON := fs.Bool("json", false, "write one JSON object instead of text")
	c.RunE = func(c *cobra.Command, _ []string) error { return starve(c, o, *asJSON) }
	return c
}

func starve(c *cobra.Command, o lab.Options, asJSON bool) error {
	var err error
	if o.Binary, err = os.Executable(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	errs := c.ErrOrStderr()
	shows := isTerminal(errs)
	if shows {
		o.Progress = func(of lab.Case, done, all int) {
			fmt.Fprintf(errs, "\r\x1b[K%d of %d: %s", done+1, all, of.Name)
		}
	}
	report, err := lab.Starve(ctx, o)
	if shows {
		fmt.Fprint(errs, "\r\x1b[K")
	}
	switch {
	case errors.Is(err, lab.ErrOptions):
		return &usageError{err}
	case err != nil:
		return err
	case asJSON:
		return report.WriteJSON(c.OutOrStdout())
	default:
		return report.WriteText(c.OutOrStdout())
	}
}
