package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/daemon"
)

// addSources gives a command ROOT and the flags of the configuration. What is
// typed is only kept: config.Sources checks it together with everything else.
func addSources(c *cobra.Command) *config.Sources {
	s := &config.Sources{Flags: make(map[string][]string)}
	fs := c.Flags()
	fs.SortFlags = false
	add := func(name, short, usage, byDefault string, choices []string) {
		fs.FuncP(name, short, usage, func(value string) error {
			s.Flags[name] = append(s.Flags[name], value)
			return nil
		})
		fs.Lookup(name).DefValue = byDefault // for the help
		complete := cobra.NoFileCompletions
		if len(choices) > 0 {
			complete = cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)
		} else if name == "config" || name == "access-log" {
			return // files
		}
		completeWith(c, name, complete)
	}
	add("config", "c", "a YAML `file`; flags beat EVHTTPD_FLAG_NAME variables, which beat the file", "", nil)
	for _, f := range config.Flags() {
		add(f.Name, f.Short, f.Usage, f.Default(), f.Choices())
	}
	c.ValidArgsFunction = oneDirectory
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return &usageError{fmt.Errorf("one ROOT is served, not %d: %s", len(args), strings.Join(args, " "))}
		}
		if len(args) == 1 {
			s.Root = &args[0]
		}
		// A ROOT is mistyped for a subcommand only where one could stand.
		if !c.HasParent() {
			s.Subcommand = func(root string) string { return suggestion(c, root) }
		}
		s.Environ = os.Environ()
		return nil
	}
	return s
}

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve [ROOT]",
		Short: "Serve the files below ROOT",
	}
	sources := addSources(c)
	c.RunE = func(*cobra.Command, []string) error {
		return daemon.Run(daemon.Options{Load: sources.LoadTelling, File: sources.File(), Version: versionText(),
			Complaint: complaint})
	}
	return c
}

func checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check [ROOT]",
		Short: "Read the configuration, say what is wrong and where, start nothing",
		Long: `Read the configuration as "evhttpd serve" would with the same flags, say
everything that is wrong with it, each as file:line:column: what is wrong: what
would be right, and start nothing. The exit code is 0 or 2.`,
	}
	sources := addSources(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		e, err := sources.Effective()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), e.Summary())
		return err
	}
	return c
}

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config [ROOT]",
		Short: "Print the configuration that holds, each value with where it comes from",
		Long: `Print the configuration that "evhttpd serve" would have with the same flags,
as a file that can be used, each value with a comment where it comes from: the
default, a line of the file, a variable or a flag.`,
	}
	sources := addSources(c)
	defaults := c.Flags().Bool("defaults", false, "print the whole configuration with its defaults, each key explained")
	schema := c.Flags().Bool("schema", false, "print the JSON schema of a configuration file, for editors")
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case !*defaults && !*schema:
		case *defaults && *schema, len(sources.Flags) > 0, len(args) > 0:
			return &usageError{errors.New("--defaults and --schema are about no configuration in particular: leave " +
				"out ROOT and the other flags")}
		case *defaults:
			_, err := fmt.Fprint(c.OutOrStdout(), config.Documented)
			return err
		default:
			text, err := config.Schema()
			if err == nil {
				_, err = c.OutOrStdout().Write(text)
			}
			return err
		}
		e, err := sources.Effective()
		if err != nil {
			return err
		}
		_, err = e.WriteTo(c.OutOrStdout())
		return err
	}
	return c
}
