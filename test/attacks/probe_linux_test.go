package attacks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// probeEnv has the server's address for the process that is the well-behaved client.
const probeEnv = "EVHTTPD_ATTACKS_PROBE"

// request is one that the well-behaved client repeats.
type request struct {
	name  string
	path  string
	size  int
	every time.Duration
	fresh bool // on a new connection each time
}

// requests are below the rate that one address may have.
var requests = []request{
	{name: "small", path: "/small", size: smallSize, every: 10 * ms},
	{name: "new", path: "/small", size: smallSize, every: 40 * ms, fresh: true},
	{name: "large", path: "/large", size: largeSize, every: 50 * ms},
}

// probe is the well-behaved client. What it measures is filed under the label of the moment.
type probe struct {
	addr string

	mu      sync.Mutex
	label   string
	took    map[string]map[string][]time.Duration // by label, by name of the request
	retried int                                   // requests whose idle connection was closed, asked again
	wrong   []string
}

func newProbe(addr string) *probe {
	return &probe{addr: addr, took: make(map[string]map[string][]time.Duration)}
}

// run asks until the context ends; each request that was begun is ended.
func (p *probe) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, r := range requests {
		all.Go(func() {
			v := visitor{probe: p, request: r, want: pattern(r.size)}
			for ctx.Err() == nil {
				v.visit()
				select {
				case <-ctx.Done():
				case <-time.After(r.every):
				}
			}
			v.close()
		})
	}
	all.Wait()
}

// mark begins another label.
func (p *probe) mark(label string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.label = label
}

// answered is how many right answers each kind of request has had at least, and what was wrong.
func (p *probe) answered() (least int, wrong []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := make(map[string]int)
	for _, by := range p.took {
		for name, all := range by {
			count[name] += len(all)
		}
	}
	least = count[requests[0].name]
	for _, r := range requests {
		least = min(least, count[r.name])
	}
	return least, p.wrong
}

// visitor repeats one request.
type visitor struct {
	*probe
	request
	want []byte
	conn net.Conn
	in   *bufio.Reader
}

func (v *visitor) close() {
	if v.conn != nil {
		v.conn.Close()
		v.conn = nil
	}
}

func (v *visitor) visit() {
	v.mu.Lock()
	label := v.label
	v.mu.Unlock()
	began, idle := time.Now(), v.conn != nil
	err := v.ask()
	if err != nil && idle && errors.Is(err, errUnanswered) {
		// The server may close an idle connection at any time, and the request is sent again
		// (RFC 9112 section 9.3.1).
		v.close()
		began = time.Now()
		err = v.ask()
		v.mu.Lock()
		v.retried++
		v.mu.Unlock()
	}
	took := time.Since(began)
	if v.fresh || err != nil {
		v.close()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		if len(v.wrong) < 20 {
			v.wrong = append(v.wrong, fmt.Sprintf("%s, %s, after %v: %v", label, v.name, took, err))
		}
		return
	}
	if v.took[label] == nil {
		v.took[label] = make(map[string][]time.Duration)
	}
	v.took[label][v.name] = append(v.took[label][v.name], took)
}

// errUnanswered is the end of a connection before the first byte of an answer.
var errUnanswered = errors.New("the connection ended before the answer")

func (v *visitor) ask() error {
	if v.conn == nil {
		c, err := dialerFrom(probeAddr).Dial("tcp", v.addr)
		if err != nil {
			return err
		}
		v.conn, v.in = c, bufio.NewReaderSize(c, 64<<10)
	}
	_ = v.conn.SetDeadline(time.Now().Add(testkit.Patience))
	if _, err := io.WriteString(v.conn, get(v.path, "")); err != nil {
		return errors.Join(errUnanswered, err)
	}
	if _, err := v.in.Peek(1); err != nil {
		return errors.Join(errUnanswered, err)
	}
	answer, err := http.ReadResponse(v.in, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if answer.Close {
		defer v.close()
	}
	switch {
	case err != nil:
		return err
	case answer.StatusCode != 200:
		return fmt.Errorf("%s: %.200s", answer.Status, body)
	case !bytes.Equal(body, v.want):
		return fmt.Errorf("%d bytes that are not the file", len(body))
	}
	return nil
}

// figures is what one label has measured of one request.
type figures struct {
	Count          int
	P50, P99, Most time.Duration
}

func describe(took []time.Duration) figures {
	slices.Sort(took)
	n := len(took)
	if n == 0 {
		return figures{}
	}
	return figures{n, took[n/2], took[n*99/100], took[n-1]}
}

// report is what the process of the well-behaved client says at its end.
type report struct {
	Took    map[string]map[string]figures // by label, by request
	Retried int
	Wrong   []string
}

func (p *probe) report() report {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := report{Took: make(map[string]map[string]figures), Retried: p.retried, Wrong: p.wrong}
	for label, by := range p.took {
		r.Took[label] = make(map[string]figures)
		for name, all := range by {
			r.Took[label][name] = describe(all)
		}
	}
	return r
}

// probeMain is the well-behaved client in a process of its own, so that it does not share the scheduler of the
// attackers: each line of its input is the next label, and at its end it writes its report.
func probeMain() int {
	p := newProbe(os.Getenv(probeEnv))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx) })
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		p.mark(lines.Text())
	}
	cancel()
	running.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(p.report()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
