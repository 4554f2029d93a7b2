package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/daemon"
)

const healthcheckLong = `Ask the server of this configuration whether it answers: exit 0 if it does, 1 if not.

Asked is GET /readyz where admin.listen is set, else OPTIONS * at the first address
of --listen. A URL, or unix:PATH, is asked instead of these.`

// healthTimeout is less than Docker gives a health check, 30 s, so that a
// server that hangs is reported as one.
const healthTimeout = 5 * time.Second

func healthcheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "healthcheck [URL]",
		Short: "Exit 0 if the server answers (for containers without curl)",
		Long:  healthcheckLong,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{fmt.Errorf("one URL is asked, not %d; see \"%s --help\"", len(args), c.CommandPath())}
			}
			return nil
		},
	}
	cfg := config.Default()
	listen := c.Flags().StringSliceP("listen", "l", []string{cfg.Listen[0].String()}, "`addresses` that the server was given; the first is asked")
	timeout := c.Flags().Duration("timeout", healthTimeout, "how `long` the answer may take")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(*listen) == 0 || *timeout <= 0 {
			return &usageError{fmt.Errorf("--listen wants an address, --timeout a time such as 5s; see \"%s --help\"", c.CommandPath())}
		}
		target := ""
		if len(args) == 1 {
			target = args[0]
		}
		address, err := config.ParseAddress((*listen)[0])
		if err != nil {
			return &usageError{fmt.Errorf("--listen %w", err)}
		}
		cfg.Listen = []config.Address{address}
		answer, err := daemon.Healthcheck(&cfg, target, *timeout)
		if err == nil {
			fmt.Fprintln(c.OutOrStdout(), answer)
		}
		return err
	}
	return c
}
