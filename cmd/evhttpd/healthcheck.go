package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/healthcheck"
)

const healthcheckLong = `Ask the server of this configuration whether it answers: exit 0 if it does, 1 if
not, 2 if the configuration is wrong or does not say where to ask.

Asked is GET /readyz where admin.listen is set, else OPTIONS * at the first address
of listen; a URL or unix:PATH is asked instead of these. So that the configuration is the
server's, set EVHTTPD_CONFIG or EVHTTPD_LISTEN for both, or give the same flags.`

// healthTimeout is less than Docker gives a health check, 30 s, so that a
// server that hangs is reported as one.
const healthTimeout = 5 * time.Second

func healthcheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "healthcheck [URL]",
		Short: "Exit 0 if the server answers (for containers without curl)",
		Long:  healthcheckLong,
	}
	sources := addSources(c)
	c.ValidArgsFunction = cobra.NoFileCompletions // a URL
	sources.AnyRoot = true                        // the server's command line may say it
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return &usageError{fmt.Errorf("one URL is asked, not %d; see \"%s --help\"", len(args), c.CommandPath())}
		}
		sources.Environ = os.Environ()
		return nil
	}
	timeout := c.Flags().Duration("timeout", healthTimeout, "how `long` the answer may take")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *timeout <= 0 {
			return &usageError{fmt.Errorf("--timeout wants a time such as 5s; see \"%s --help\"", c.CommandPath())}
		}
		target := strings.Join(args, "") // one or none
		var cfg *config.Config
		if target == "" {
			var err error
			if cfg, err = sources.Load(); err != nil {
				return err
			}
		}
		answer, err := healthcheck.Ask(cfg, target, *timeout)
		if err == nil {
			fmt.Fprintln(c.OutOrStdout(), answer)
		}
		return err
	}
	return c
}
