package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/daemon"
)

// usageError is an error in what was typed.
type usageError struct{ error }

// version is set when a release is linked; else the build's own record is asked.
var version = ""

const long = `evhttpd serves the files below ROOT (default: the current directory) over
HTTP/1.x, with its own event loop.

"evhttpd [ROOT]" is short for "evhttpd serve [ROOT]". A directory that has the
name of a subcommand is given as ./NAME.`

func newRootCommand() *cobra.Command {
	root := serveCommand()
	root.Use = "evhttpd [ROOT]"
	root.Short = "Serve files over HTTP/1.x with an event loop of its own"
	root.Long = long
	root.Example = `  evhttpd                       serve the current directory on port 8080
  evhttpd ~/site --listen 80    serve a site on port 80
  evhttpd --trigger level       the same loop, level-triggered`
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SuggestionsMinimumDistance = 2
	root.Version = versionLine()
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "print the version") // cobra's own would have -v too
	root.AddCommand(serveCommand(), modelsCommand(), labCommand(), versionCommand(), completionCommand())
	root.InitDefaultHelpCmd() // so that it is in Commands
	root.PersistentPreRun = warnShadowed
	for _, c := range append(root.Commands(), root) {
		if c.Name() == "help" {
			c.Args = helpTopic
		}
		if c.PersistentPreRun != nil {
			c.PersistentPreRun = warnShadowed // help has an empty one of its own
		}
		c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
			return &usageError{fmt.Errorf("%w; see \"%s --help\"", err, c.CommandPath())}
		})
	}
	return root
}

// noArguments refuses arguments to a subcommand that takes none.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("%s takes no arguments, not %q", c.CommandPath(), args)}
	}
	return nil
}

// helpTopic refuses to explain what does not exist.
func helpTopic(c *cobra.Command, args []string) error {
	_, rest, err := c.Root().Find(args)
	if err == nil && len(rest) == 0 {
		return nil
	}
	topic := strings.Join(args, " ")
	if s := suggestion(c.Root(), topic); s != "" {
		return &usageError{fmt.Errorf("no command %q; did you mean \"evhttpd help %s\"?", topic, s)}
	}
	return &usageError{fmt.Errorf("no command %q; see \"evhttpd --help\"", topic)}
}

// suggestion is the subcommand that a name may have been meant for, or empty.
func suggestion(root *cobra.Command, name string) string {
	if name == "" { // the beginning of each
		return ""
	}
	if s := root.SuggestionsFor(name); len(s) > 0 {
		return s[0]
	}
	return ""
}

// warnShadowed says in one line that a subcommand has the name of a directory
// here, which may have been what was meant.
func warnShadowed(c *cobra.Command, _ []string) {
	for c.HasParent() && c.Parent().HasParent() {
		c = c.Parent() // the subcommand itself, of its own subcommands
	}
	if info, err := os.Stat(c.Name()); c.HasParent() && err == nil && info.IsDir() {
		fmt.Fprintf(c.ErrOrStderr(), "evhttpd: %[1]s is the subcommand; the directory of that name is ./%[1]s\n", c.Name())
	}
}

// flags are the serving flags as typed.
type flags struct {
	listen, hide                   []string
	loops, threads, accept         string
	model, trigger                 string
	listing, cacheValid, accessLog string
	turnRequests, turnBytes        string
}

func serveCommand() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "serve [ROOT]",
		Short: "Serve the files below ROOT",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{fmt.Errorf("one ROOT is served, not %d: %s", len(args), strings.Join(args, " "))}
			}
			return nil
		},
	}
	d := config.Default()
	fs := c.Flags()
	fs.SortFlags = false
	fs.StringSliceVarP(&f.listen, "listen", "l", []string{d.Listen[0].String()}, "`addresses`: host:port, [v6]:port, a port, unix:PATH")
	fs.StringVar(&f.model, "io-model", d.IOModel, "how connections are driven: "+daemon.ModelNames())
	fs.StringVar(&f.trigger, "trigger", d.Trigger, "`kind` of readiness events: edge, level, auto")
	fs.StringVar(&f.loops, "loops", "auto", "`number` of event loops; auto: the CPUs this process may use")
	fs.StringVar(&f.threads, "threads", strconv.Itoa(d.Threads), "`number` of connections that io-model blocking serves at a time; at most 8192")
	fs.StringVar(&f.accept, "accept", d.Accept, "`how` loops share a port: reuseport, shared, auto")
	fs.StringVar(&f.listing, "listing", "on", "list directories without an index: on, off")
	fs.StringSliceVar(&f.hide, "hide", d.Sites[0].Hide, "`patterns` of names that are not served; ! excepts")
	fs.StringVar(&f.cacheValid, "cache-valid", d.Cache.Valid.String(), "how stale an answer may be under load; 0s looks at the file every time")
	fs.StringVar(&f.accessLog, "access-log", d.AccessLog.Output, "off, - (stdout) or a `file`")
	fs.StringVar(&f.turnRequests, "turn-requests", strconv.Itoa(d.Turn.Requests), "`number` of requests in one connection's turn before the others'; 0: no bound, for the lab")
	fs.StringVar(&f.turnBytes, "turn-bytes", config.FormatSize(d.Turn.Bytes), "`size` of one connection's turn before the others', received and sent; 0: no bound, for the lab")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := f.config(args)
		if err != nil {
			return &usageError{err}
		}
		if len(args) == 1 {
			if err := checkRoot(c.Root(), args[0]); err != nil {
				return &usageError{err}
			}
		}
		return daemon.Run(cfg, os.Stderr)
	}
	return c
}

// config checks what was typed; every mistake is reported, not the first alone.
func (f *flags) config(args []string) (*config.Config, error) {
	cfg := config.Default()
	var errs []error
	flag := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s %w", name, err))
		}
	}
	cfg.Listen = nil
	if len(f.listen) == 0 { // what pflag makes of an empty value
		flag("listen", errors.New(`"": want host:port, [v6]:port, a port, unix:PATH or systemd:NAME`))
	}
	for _, s := range f.listen {
		a, err := config.ParseAddress(s)
		flag("listen", err)
		cfg.Listen = append(cfg.Listen, a)
	}
	var err error
	cfg.Loops, err = config.ParseLoops(f.loops)
	flag("loops", err)
	cfg.Threads, err = config.ParseThreads(f.threads)
	flag("threads", err)
	cfg.Accept, err = config.OneOf(f.accept, "auto", "reuseport", "shared")
	flag("accept", err)
	cfg.Trigger, err = config.OneOf(f.trigger, "auto", "edge", "level")
	flag("trigger", err)
	trigger := f.trigger
	if err != nil {
		trigger = "auto" // the model's name is checked all the same
	}
	flag("io-model", daemon.CheckModel(f.model, trigger))
	cfg.IOModel = f.model
	cfg.Sites[0].Listing, err = config.ParseSwitch(f.listing)
	flag("listing", err)
	if cfg.Cache.Valid, err = time.ParseDuration(f.cacheValid); err != nil || cfg.Cache.Valid < 0 {
		flag("cache-valid", fmt.Errorf("%q: want a duration such as 500ms or 1s, or 0s", f.cacheValid))
	}
	cfg.Turn.Requests, err = config.ParseCount(f.turnRequests)
	flag("turn-requests", err)
	cfg.Turn.Bytes, err = config.ParseSize(f.turnBytes)
	flag("turn-bytes", err)
	cfg.Sites[0].Hide = f.hide
	cfg.AccessLog.Output = f.accessLog
	if len(args) == 1 {
		cfg.Sites[0].Root = args[0]
	}
	return &cfg, errors.Join(errs...)
}

// checkRoot says what is wrong with a ROOT that cannot be served, and whether
// a subcommand was meant.
func checkRoot(root *cobra.Command, path string) error {
	if path == "" {
		return errors.New("ROOT is empty: give the directory to serve, . for the current one")
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is a file, not a directory; to serve it, give its directory", path)
	case errors.Is(err, os.ErrNotExist):
		if s := suggestion(root, path); s != "" && !strings.Contains(path, "/") {
			return fmt.Errorf("no directory %q; did you mean \"evhttpd %s\"?", path, s)
		}
		return fmt.Errorf("no directory %q to serve", path)
	default:
		return err
	}
}

func modelsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "models",
		Short: "List the IO models: which can run here, why others cannot, and what limits them",
		Args:  noArguments,
	}
	asJSON := c.Flags().Bool("json", false, "write one JSON object instead of text")
	c.RunE = func(c *cobra.Command, _ []string) error { return daemon.Models(c.OutOrStdout(), *asJSON) }
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintln(c.OutOrStdout(), versionLine())
		},
	}
}

func versionLine() string {
	return fmt.Sprintf("evhttpd %s (%s, %s/%s)", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

const completionLong = `Print the script that completes evhttpd's command line in a shell:

  bash        source <(evhttpd completion bash)
  zsh         source <(evhttpd completion zsh)
  fish        evhttpd completion fish | source
  powershell  evhttpd completion powershell | Out-String | Invoke-Expression

A line like that in the shell's start-up file makes it last.`

// completionCommand stands for cobra's own, which answers a shell that it does
// not know with its help and success.
func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Print the script that completes the command line in bash, zsh, fish or powershell",
		Long:      completionLong,
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && !slices.Contains(shells, args[0]) {
				return &usageError{fmt.Errorf("no completion for %q: want one of %s", args, strings.Join(shells, ", "))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch strings.Join(args, "") {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			default:
				return c.Help()
			}
		},
	}
}
