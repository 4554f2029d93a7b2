package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/internal/config"
)

// roff writes the sections of a manual page in the macros of man(7).
type roff struct{ strings.Builder }

// title begins the page of that name.
func (r *roff) title(name string, section int) {
	fmt.Fprintf(r, ".nh\n.TH \"%s\" \"%d\" \"%s\" \"evhttpd %s\" \"evhttpd\"\n", strings.ToUpper(name), section,
		pageMonth(), versionText())
}

func (r *roff) section(title string) { fmt.Fprintf(r, ".SH %s\n", title) }

func (r *roff) paragraph(text string) { fmt.Fprintf(r, ".PP\n%s\n", escapeRoff(text)) }

// item is a term with what it means, indented below it: each text begins a line.
func (r *roff) item(term string, texts ...string) {
	fmt.Fprintf(r, ".TP\n\\fB%s\\fP\n", escapeRoff(term))
	for i, text := range texts {
		if i > 0 {
			r.WriteString(".br\n")
		}
		r.WriteString(escapeRoff(text) + "\n")
	}
}

// literal is text whose lines stay as they are.
func (r *roff) literal(text string) {
	fmt.Fprintf(r, ".PP\n.nf\n%s\n.fi\n", escapeRoff(strings.TrimSuffix(text, "\n")))
}

// escapeRoff keeps what roff would take for an escape, a request or a hyphen.
func escapeRoff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// sections are those of a command's page that follow its options.
func sections(r *roff, c *cobra.Command) {
	serves := c == c.Root() || c.Name() == "serve"
	exitStatus(r, c.Name(), serves)
	if f := c.Flags().Lookup("config"); f != nil {
		environment(r, serves)
	}
	if serves {
		signals(r)
		files(r)
	}
}

func exitStatus(r *roff, name string, serves bool) {
	r.section("EXIT STATUS")
	switch {
	case serves:
		r.item("0", "The server stopped in order, after SIGTERM or SIGINT, or was replaced by an upgrade.")
		r.item("1", "It could not run, or a second signal stopped it at once.")
	case name == "healthcheck":
		r.item("0", "The server answers and says that it is well.")
		r.item("1", "It does not answer, or says that it is not.")
	case name == "load":
		r.item("0", "There were right answers, and no condition of --fail-if holds.")
		r.item("1", "There was not one right answer, or the load could not be made; standard error says why.")
		r.item("3", "A condition of --fail-if holds.")
	default:
		r.item("0", "Done.")
		r.item("1", "It failed; standard error says why.")
	}
	r.item("2", "The command line or the configuration is wrong. Each mistake is a line on standard error.")
}

// environment lists the variables, each of which stands for a flag.
func environment(r *roff, serves bool) {
	r.section("ENVIRONMENT")
	r.item("EVHTTPD_CONFIG", "As --config. A flag counts before its variable, and a variable before the file.")
	for _, f := range config.Flags() {
		r.item(f.Variable(), "As --"+f.Name+".")
	}
	if !serves {
		return
	}
	r.item("LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES", "Sockets that systemd opened, for systemd:NAME in listen; see "+
		"sd_listen_fds(3).")
	r.item("NOTIFY_SOCKET, WATCHDOG_USEC", "Where systemd is told that the server is ready, reloads and lives; see "+
		"sd_notify(3).")
	r.item("GOMEMLIMIT", "A bound on the memory of Go's runtime, such as 200MiB. Set it a little below a container's "+
		"limit.")
}

func signals(r *roff) {
	r.section("SIGNALS")
	r.item("SIGHUP", "Read the configuration again. A wrong one changes nothing. In the foreground of a terminal "+
		"without --config: stop.")
	r.item("SIGTERM, SIGINT", "Stop in order: what is under way may finish within timeouts.drain. A second one stops "+
		"at once.")
	r.item("SIGUSR1", "Open the files of both logs anew, after they were moved away.")
	r.item("SIGUSR2", "Start the program anew with the same sockets and hand over to it: an upgrade without a lost "+
		"request.")
	r.item("SIGQUIT", "Write the stack of every goroutine to standard error and end.")
}

func files(r *roff) {
	r.section("FILES")
	r.paragraph("No file is read that the command line, a variable or the configuration does not name. The systemd " +
		"units name these:")
	r.item("/etc/evhttpd/evhttpd.yaml", "The configuration.")
	r.item("/var/log/evhttpd", "The logs.")
	r.item("/run/evhttpd", "Unix sockets.")
}

// writeConfigPage writes the page about the configuration file.
func writeConfigPage(w io.Writer) error {
	var r roff
	r.title(configPage, 5)
	r.section("NAME")
	r.WriteString(configPage + " \\- configuration file of evhttpd(1)\n")
	r.section("SYNOPSIS")
	r.literal("evhttpd --config FILE\nevhttpd check --config FILE")
	r.section("DESCRIPTION")
	r.paragraph("A YAML file that says what evhttpd serves and how. Every key has a default but a site's root. An " +
		"unknown key is an error. Variables and flags count before the file. SIGHUP has it read again: a mistake " +
		"changes nothing.")
	r.paragraph("Durations have a unit: 500ms, 30s, 1h. Sizes are bytes, or a whole number of KiB, MiB or GiB. 0 is " +
		"no limit. In a pattern of paths * matches within a segment and ** across segments. A relative path begins " +
		"at the file's folder.")
	r.section("KEYS")
	for _, key := range config.Keys() {
		texts := []string{key.Text}
		if len(key.Choices) > 0 {
			texts = append(texts, "One of: "+strings.Join(key.Choices, ", "))
		}
		if key.Default != "" {
			texts = append(texts, "Default: "+key.Default)
		}
		r.item(key.Path, texts...)
	}
	r.section("EXAMPLE")
	r.paragraph("All of the defaults, as evhttpd config --defaults prints them:")
	r.literal(config.Documented)
	r.section("SEE ALSO")
	r.WriteString(".PP\n\\fBevhttpd(1)\\fP, \\fBevhttpd\\-check(1)\\fP, \\fBevhttpd\\-config(1)\\fP\n")
	_, err := io.WriteString(w, r.String())
	return err
}

// pageMonth dates a page, by SOURCE_DATE_EPOCH where a package is built.
func pageMonth() string {
	when := time.Now()
	if epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		when = time.Unix(epoch, 0)
	}
	return when.UTC().Format("Jan 2006")
}
