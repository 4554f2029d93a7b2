package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evhttpd/evhttpd/internal/config"
)

// usageError is an error in what was typed.
type usageError struct{ error }

const long = `evhttpd serves the files below ROOT (default: the current directory) over
HTTP/1.x, with its own event loop.

"evhttpd [ROOT]" is short for "evhttpd serve [ROOT]". A directory that has the
name of a subcommand is given as ./NAME.

Each flag has a variable: --io-model is EVHTTPD_IO_MODEL. "evhttpd config
--defaults" prints all that a file given with --config can say.`

func newRootCommand() *cobra.Command {
	root := serveCommand()
	root.Use = "evhttpd [ROOT]"
	root.Short = "Serve files over HTTP/1.x with an event loop of its own"
	root.Long = long
	root.Example = `  evhttpd                       serve the current directory on port 8080
  evhttpd ~/site --listen 80    serve a site on port 80
  evhttpd --trigger level       the same loop, level-triggered
  evhttpd config                what holds, and where each value comes from`
	root.DisableAutoGenTag = true // of manual pages, which are not to differ by the day
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SuggestionsMinimumDistance = 2
	root.Version = versionLine()
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "print the version") // cobra's own would have -v too
	root.AddCommand(serveCommand(), checkCommand(), configCommand(), modelsCommand(), benchCommand(), labCommand(),
		healthcheckCommand(), versionCommand(), completionCommand(), manCommand())
	wrappedHelp(root)
	root.InitDefaultHelpCmd() // so that it is in Commands
	root.PersistentPreRun = warnShadowed
	for _, c := range append(root.Commands(), root) {
		if c.Name() == "help" {
			c.Args = helpTopic
		}
		if c.PersistentPreRun != nil {
			c.PersistentPreRun = warnShadowed // help has an empty one of its own
		}
		c.SetFlagErrorFunc(flagError)
	}
	return root
}

// otherServers are flags of other programs that serve a directory, with ours that say the same.
var otherServers = map[string]string{"port": "listen", "p": "listen", "bind": "listen", "b": "listen",
	"host": "listen", "addr": "listen", "address": "listen"}

// flagError says what is wrong with a flag and, if there is none of that name, which may have been meant.
func flagError(c *cobra.Command, err error) error {
	unknown := (*pflag.NotExistError)(nil)
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		meant := otherServers[name]
		if c.Flags().Lookup(meant) == nil && len(name) > 1 {
			var names []string
			c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
			meant = config.Nearest(name, names)
		}
		if c.Flags().Lookup(meant) != nil {
			return &usageError{fmt.Errorf("%w; did you mean --%s?", err, meant)}
		}
	}
	return &usageError{fmt.Errorf("%w; see \"%s --help\"", err, c.CommandPath())}
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
		to := c.ErrOrStderr()
		if to == os.Stderr {
			to = standardError()
		}
		fmt.Fprintf(to, "evhttpd: %[1]s is the subcommand; the directory of that name is ./%[1]s\n", c.Name())
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and its date, and what the program was built with",
		Args:  noArguments,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintln(c.OutOrStdout(), versionLine())
		},
	}
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
