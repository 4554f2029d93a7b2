package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evhttpd/evhttpd/bench"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/lab"
	"github.com/evhttpd/evhttpd/bench/report"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/iomodel"
)

const benchLong = `Compare IO models, and other servers, on this machine. Each runs as this program in a
process of its own, on a free port of 127.0.0.1, pinned to other CPUs than the
client where there are enough; rounds are interleaved, and ratios are taken within
a round. The headline is the server's CPU time a request. Every comparison
contains its own control, the baseline once more: what differs less than these two is
called no difference.

With --classic NAME an experiment of the laboratory is made instead, which "evhttpd
lab NAME" makes too; "evhttpd lab" lists them.`

const benchExample = `  evhttpd bench --quick                        two cells, under a minute
  evhttpd bench --out report                   everything, with charts
  evhttpd bench --models epoll,io_uring --scenarios small,churn --rounds 15
  evhttpd bench --root /srv/bench --target nginx=http://127.0.0.1:8081/
  evhttpd bench compare before/results.json after/results.json`

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "bench",
		Short:   "Compare the IO models on this machine",
		Long:    benchLong,
		Example: benchExample,
		Args:    arguments(0, "bench has no %q"),
	}
	o := bench.Options{}
	fs := c.Flags()
	fs.SortFlags = false
	fs.BoolVar(&o.Quick, "quick", false, "two cells, 64 busy connections alone and beside up to 5,000 idle, in under "+
		"a minute")
	fs.StringSliceVar(&o.Models, "models", nil, "`names` of the models to compare (default all; the baseline always "+
		"takes part)")
	fs.StringSliceVar(&o.Triggers, "triggers", nil, "`edge,level`, of models that have the choice (default both)")
	fs.StringSliceVar(&o.Scenarios, "scenarios", nil, "`names`: "+strings.Join(bench.Scenarios(),
		", ")+" (default all)")
	fs.IntVar(&o.Rounds, "rounds", 0, "`number` of times that everything is measured (default 7, with --quick 6 to 9, "+
		"with --classic as it takes)")
	fs.DurationVar(&o.Duration, "duration", 0, "how `long` a measurement is (default 1s, with --quick what a minute "+
		"allows, with --classic as it takes)")
	fs.IntVar(&o.Loops, "loops", 1, "`number` of loops, and CPUs, of each server and of the client")
	fs.StringArrayVar(&o.Targets, "target", nil, "`[NAME=]URL` of another server to measure too; may be given again")
	fs.StringVar(&o.Root, "root", "", "`folder` to make the files in and leave them, for a target to serve (default a "+
		"temporary one)")
	fs.BoolVar(&o.Wrk, "wrk", false, "have wrk measure the loads that it can make too")
	named := fs.String("classic", "", "`name` of an experiment to make instead: "+strings.Join(lab.Names(), ", "))
	fs.Uint64Var(&o.Seed, "seed", 1, "`number` that settles the order within rounds")
	out := fs.String("out", "", "`folder` for the HTML report, its charts, and the results as JSON, CSV and for "+
		"benchstat")
	completeList(c, "models", iomodel.Names())
	completeList(c, "triggers", []string{"edge", "level"})
	completeList(c, "scenarios", bench.Scenarios())
	completeOne(c, "classic", lab.Names())
	completeDirectories(c, "root")
	completeDirectories(c, "out")
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, _ []string) error { return runBench(c, o, *named, *out) }
	c.AddCommand(compareCommand(), loadCommand())
	return c
}

func runBench(c *cobra.Command, o bench.Options, named, out string) (err error) {
	fs := c.Flags()
	if fs.Changed("rounds") && o.Rounds == 0 || fs.Changed("duration") && o.Duration == 0 || o.Loops == 0 {
		return &usageError{errors.New("--rounds, --duration and --loops must be more than 0")}
	}
	if fs.Changed("classic") {
		e, err := lab.Find(named)
		if err != nil {
			return &usageError{err}
		}
		if err := others(fs, e); err != nil {
			return &usageError{err}
		}
		return runLab(c, named, o.Options, out, false)
	}
	return compare(c, &o.Options, out, false, func(ctx context.Context) (comparison, error) {
		r, err := bench.Run(ctx, o)
		if r == nil {
			return nil, err
		}
		return report.Report{Results: r}, err
	})
}

// others is an error if flags are given that an experiment has no use for.
func others(fs *pflag.FlagSet, e *lab.Experiment) error {
	var other []string
	fs.Visit(func(f *pflag.Flag) {
		known := []string{"classic", "rounds", "duration", "seed", "out"}
		if !slices.Contains(known, f.Name) && (f.Name != "models" || !e.Models) {
			other = append(other, "--"+f.Name)
		}
	})
	if len(other) > 0 {
		return fmt.Errorf("--classic settles by itself what is compared: leave out %s", strings.Join(other, ", "))
	}
	return nil
}

// comparison is what has been measured, ready to be shown.
type comparison interface {
	WriteText(w io.Writer) error
	WriteJSON(w io.Writer) error
	WriteFolder(folder string) error
	Written(folder string) string
}

// compare measures by run, which a signal ends, with o, of which it fills in what was typed, and shows what it has
// found, beside an error too; out is a folder for all of it, or empty.
func compare(c *cobra.Command, o *experiment.Options, out string, asJSON bool,
	run func(context.Context) (comparison, error)) (err error) {
	o.Version, o.Command = versionLine(), strings.Join(append([]string{"evhttpd"}, os.Args[1:]...), " ")
	if o.Binary, err = os.Executable(); err != nil {
		return err
	}
	if out != "" {
		// Before an hour is spent: the folder can be made and written.
		if err := experiment.Prepare(out); err != nil {
			return err
		}
	}
	ctx, stop := interruptible()
	defer stop()
	bar := newProgress(c.ErrOrStderr())
	o.Progress, o.Print = bar.step, bar.say
	found, err := run(ctx)
	bar.clear()
	if errors.As(err, new(*experiment.OptionError)) {
		return &usageError{err}
	}
	if found == nil {
		return err
	}
	write := found.WriteText
	if asJSON {
		write = found.WriteJSON
	}
	shown := write(c.OutOrStdout())
	if shown == nil && out != "" {
		if shown = found.WriteFolder(out); shown == nil {
			_, shown = fmt.Fprintf(c.OutOrStdout(), "\n%s\n", found.Written(out))
		}
	}
	return errors.Join(err, shown)
}

// arguments has a command refuse another number of arguments than n. says has a place for the number, or for the first
// of those that it has no use for at all.
func arguments(n int, says string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		of := any(len(args))
		if n == 0 {
			of = args[0]
		}
		return &usageError{fmt.Errorf(says+"; see \"%s --help\"", of, c.CommandPath())}
	}
}

// interruptible is a context that a first signal ends, and a second one the program.
func interruptible() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func compareCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Say what became faster or slower from one comparison to another",
		Args:  arguments(2, "two results.json are compared, not %d files"),
		RunE: func(c *cobra.Command, args []string) error {
			var both [2]*results.Results
			for i, name := range args {
				var err error
				if both[i], err = results.Read(name); err != nil {
					return &usageError{err}
				}
			}
			return report.WriteComparison(c.OutOrStdout(), both[0], both[1])
		},
	}
}
