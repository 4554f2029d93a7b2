package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/loadtest"
)

const loadLong = `Load one server, this one or another, and say how it did: requests a second,
latencies, errors. Without --rate each connection asks again when it is answered
(a closed loop); with it requests are due at even intervals whatever the server
does, and latencies count from when a request was due, so that a server that
stalls is not spared (coordinated omission).

The flags are those of oha, hey and ab; -R is wrk2's. wrk's -d is -z here.
Ctrl-C ends the load and reports what there is. The exit status is 3 when a
condition of --fail-if holds, and 1 when there was not one right answer.`

const loadExample = `  evhttpd bench load http://localhost:8080/
  evhttpd bench load -c 100 -z 30s -q 5000 http://localhost:8080/
  evhttpd bench load -n 1000 --fail-if 'p99>5ms' --fail-if 'errors>0' \
      http://localhost:8080/
  evhttpd bench load -d '{"a": 1}' -T application/json http://localhost:8080/
  evhttpd bench load --urls paths.txt --json http://localhost:8080/
  evhttpd bench load http://unix:/run/evhttpd.sock:/index.html`

// urlListMax bounds a file of URLs, in bytes.
const urlListMax = 64 << 20

// loadFlags are the flags of bench load that are no option as they are.
type loadFlags struct {
	data, dataFile, contentType string
	urls, expect, percentiles   string
	failIf                      []string
	asJSON                      bool
}

func loadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "load URL",
		Short:             "Load one server and report rate, latencies and errors",
		Long:              loadLong,
		Example:           loadExample,
		Args:              arguments(1, "one URL is loaded, not %d"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o, f := loadtest.Defaults(), &loadFlags{}
	fs := c.Flags()
	fs.SortFlags = false
	fs.IntVarP(&o.Connections, "connections", "c", o.Connections, "`number` of connections")
	fs.DurationVarP(&o.Duration, "duration", "z", 0, "how `long` it lasts (default 10s; with -n until all are "+
		"answered)")
	fs.Int64VarP(&o.Requests, "requests", "n", 0, "`number` of requests in all")
	fs.Float64VarP(&o.Rate, "rate", "q", 0, "requests a second, all together: an open loop; may be less than 1")
	fs.Float64VarP(&o.Rate, "qps", "R", 0, "the same as --rate")
	fs.IntVarP(&o.Pipeline, "pipeline", "p", o.Pipeline, "`number` of requests in flight on a connection")
	fs.StringVarP(&o.Method, "method", "m", "", "the request's `method` (default GET, with a body POST)")
	fs.StringArrayVarP(&o.Fields, "header", "H", nil, "a `field` of the request, 'Name: value'; may be given again")
	fs.StringVarP(&f.data, "data", "d", "", "the request's `body`")
	fs.StringVarP(&f.dataFile, "data-file", "D", "", "the request's body from a `file`; - is standard input")
	fs.StringVarP(&f.contentType, "content-type", "T", "", "the body's media `type`")
	fs.StringVar(&f.urls, "urls", "", "a `file` of URLs or /paths of the server, one a line, asked for in turn")
	fs.StringVar(&o.Socket, "unix-socket", "", "connect to the Unix socket at this `path`")
	fs.BoolVar(&o.CloseEach, "disable-keepalive", false, "make a connection for each request")
	fs.DurationVarP(&o.Timeout, "timeout", "t", o.Timeout, "how `long` an answer may bring no byte, at most 1m")
	fs.DurationVar(&o.WarmUp, "warm-up", 0, "how `long` the server is loaded before it counts")
	fs.IntVar(&o.Loops, "loops", o.Loops, "`number` of threads of the client")
	fs.StringVar(&f.expect, "expect", "success", "the `status` of right answers: success (200 to 399), any, or one")
	fs.StringVar(&f.percentiles, "percentiles", joinNumbers(o.Percentiles),
		"the `percentiles` of the latencies to report")
	fs.StringArrayVar(&f.failIf, "fail-if", nil, "exit with 3 if this `condition` holds, such as 'p99>5ms', "+
		"'errors>0', 'errors>=1%' or '5xx>0'; may be given again")
	fs.BoolVar(&f.asJSON, "json", false, "write one JSON object instead of text")
	completeOne(c, "method", []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
	completeOne(c, "expect", []string{"success", "any", "200", "204", "206", "304", "404"})
	for _, name := range []string{"connections", "duration", "requests", "rate", "qps", "pipeline", "header", "data",
		"content-type",
		"timeout", "warm-up", "loops", "percentiles", "fail-if"} {
		completeWith(c, name, cobra.NoFileCompletions)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		o.URL = args[0]
		if err := f.apply(c, &o); err != nil {
			return &usageError{err}
		}
		return runLoad(c, o, f.asJSON)
	}
	return c
}

// apply turns the flags into options.
func (f *loadFlags) apply(c *cobra.Command, o *loadtest.Options) (err error) {
	fs := c.Flags()
	for _, name := range []string{"duration", "requests", "rate", "qps"} {
		if fs.Changed(name) && fs.Lookup(name).Value.String() == fs.Lookup(name).DefValue {
			return fmt.Errorf("--%s must be more than 0", name)
		}
	}
	for _, both := range [][2]string{{"data", "data-file"}, {"rate", "qps"}} {
		if fs.Changed(both[0]) && fs.Changed(both[1]) {
			return fmt.Errorf("--%s and --%s say the same: leave out one of them", both[0], both[1])
		}
	}
	if o.Status, err = parseStatus(f.expect); err != nil {
		return err
	}
	if o.Percentiles, err = parseNumbers(f.percentiles); err != nil {
		return fmt.Errorf("--percentiles: %w", err)
	}
	for _, text := range f.failIf {
		condition, err := loadtest.ParseCondition(text)
		if err != nil {
			return fmt.Errorf("--fail-if %w", err)
		}
		o.FailIf = append(o.FailIf, condition)
	}
	if err := f.request(c, o); err != nil {
		return err
	}
	if f.urls != "" {
		if o.URLs, err = readURLs(f.urls); err != nil {
			return fmt.Errorf("--urls: %w", err)
		}
	}
	return nil
}

// request is the request's fields and content.
func (f *loadFlags) request(c *cobra.Command, o *loadtest.Options) error {
	if _, err := time.ParseDuration(f.data); err == nil && o.Method == "" {
		return fmt.Errorf("-d %s: -d is the request's body, as curl, oha and hey have it; how long it lasts is -z "+
			"%[1]s. For a body of that text give --method too", f.data)
	}
	var others []string
	for _, field := range o.Fields {
		if name, value, ok := strings.Cut(field, ":"); ok && strings.EqualFold(name, "Host") {
			o.Host = strings.TrimSpace(value)
			continue
		}
		others = append(others, field)
	}
	if o.Fields = others; f.contentType != "" {
		o.Fields = append(o.Fields, "Content-Type: "+f.contentType)
	}
	o.Content = []byte(f.data)
	if !c.Flags().Changed("data-file") {
		return nil
	}
	var err error
	// One byte more than is taken, so that what is too long is not taken for whole.
	if f.dataFile == "-" {
		o.Content, err = io.ReadAll(io.LimitReader(c.InOrStdin(), load.ContentMax+1))
	} else {
		o.Content, err = readFile(f.dataFile, load.ContentMax+1)
	}
	if err != nil {
		return fmt.Errorf("--data-file: %w", err)
	}
	return nil
}

// readFile reads so many bytes of a file at most.
func readFile(name string, most int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

func parseStatus(text string) (int, error) {
	switch text {
	case "success":
		return load.SuccessStatus, nil
	case "any":
		return load.AnyStatus, nil
	}
	status, err := strconv.Atoi(text)
	if err != nil || status < http.StatusOK || status > 999 {
		return 0, fmt.Errorf("--expect %q: want success, any or a status from 200 to 999", text)
	}
	return status, nil
}

// parseNumbers reads numbers with commas between them.
func parseNumbers(text string) ([]float64, error) {
	var all []float64
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number: want some such as 50,99,99.9", part)
		}
		all = append(all, n)
	}
	return all, nil
}

func joinNumbers(numbers []float64) string {
	var parts []string
	for _, n := range numbers {
		parts = append(parts, strconv.FormatFloat(n, 'f', -1, 64))
	}
	return strings.Join(parts, ",")
}

// readURLs reads a list of URLs, one a line. Empty lines and those that begin with # are passed over.
func readURLs(name string) ([]string, error) {
	text, err := readFile(name, urlListMax+1)
	if err != nil {
		return nil, err
	}
	if len(text) > urlListMax {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, urlListMax>>20)
	}
	var urls []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			urls = append(urls, line)
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("%s has no URL in it", name)
	}
	return urls, nil
}

// conditionError says that conditions of --fail-if hold.
type conditionError struct{ held []string }

// Error implements error.
func (e *conditionError) Error() string { return "--fail-if: " + strings.Join(e.held, ", ") }

func runLoad(c *cobra.Command, o loadtest.Options, asJSON bool) error {
	ctx, stop := interruptible()
	defer stop()
	errs := c.ErrOrStderr()
	if isTerminal(errs) {
		fmt.Fprintln(errs, "evhttpd: loading", o.URL+"; Ctrl-C ends it and reports")
	}
	r, err := loadtest.Run(ctx, o)
	switch {
	case errors.As(err, new(*experiment.OptionError)) || errors.Is(err, load.ErrOptions):
		return &usageError{err}
	case err != nil:
		return err
	}
	write := r.WriteText
	if asJSON {
		write = r.WriteJSON
	}
	if err := write(c.OutOrStdout()); err != nil {
		return err
	}
	switch held := r.Held(); {
	case len(held) > 0:
		return &conditionError{held}
	case r.Answered == 0:
		return errors.New("not one right answer: " + r.Why())
	default:
		return nil
	}
}
