package load

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pipelineMax    = 4096    // in flight on one connection: a request is 16 bytes of memory there
	connectionsMax = 1 << 20 // of a run
	loopsMax       = 256
	headSentMax    = 16 << 10 // bytes of one request's head
	// memoryMax bounds a role's requests, once as they are sent and once as all connections may hold them, in bytes.
	memoryMax  = 1 << 30
	timeoutMax = time.Minute
	// rateMax keeps an interval at 100 ns and more, which no client of one thread reaches.
	rateMax = 1e7
	// rateMin is about one request a day: an interval that a run can hold.
	rateMin         = 1e-5
	descriptorSpare = 32 // descriptors of everything else: the poller's, standard files, files of the caller
)

// ContentMax is the longest content of one request, in bytes.
const ContentMax = 64 << 20

// ErrOptions marks an error in Options.
var ErrOptions = errors.New("load")

func mistake(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrOptions, fmt.Errorf(format, args...))
}

// Check says what Run would refuse, but for addresses that are missing: they may have to be looked up first.
func (o Options) Check() error { return o.check() }

// checkAddresses says which role has no address.
func (o *Options) checkAddresses() error {
	for i, r := range o.Roles {
		if !r.Addr.valid() {
			return mistake("role %d %q: the address %v is neither an IP address and port nor a Unix socket", i, r.Name,
				r.Addr)
		}
	}
	return nil
}

// check fills in the defaults of o and refuses what makes no sense.
func (o *Options) check() error {
	o.Ramp = cmp.Or(o.Ramp, 10*time.Second)
	o.Drain = cmp.Or(o.Drain, time.Second)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Loops = cmp.Or(o.Loops, 1)
	o.CheckEvery = cmp.Or(o.CheckEvery, 16)
	switch {
	case len(o.Roles) == 0:
		return mistake("no roles: name at least one group of connections")
	case o.Duration <= 0:
		return mistake("Duration must be more than 0: a run has an end")
	case o.WarmUp < 0 || o.Ramp < 0 || o.Drain < 0:
		return mistake("WarmUp, Ramp and Drain must not be negative")
	case o.Timeout < time.Millisecond || o.Timeout > timeoutMax:
		return mistake("a Timeout of %v: it must lie between 1 ms and %v", o.Timeout, timeoutMax)
	case o.Loops < 1 || o.Loops > loopsMax:
		return mistake("%d loops: there must be 1 to %d", o.Loops, loopsMax)
	}
	o.Roles = slices.Clone(o.Roles)
	connections := 0
	for i := range o.Roles {
		r := &o.Roles[i]
		if err := r.check(); err != nil {
			if len(o.Roles) > 1 {
				err = fmt.Errorf("role %d %q: %w", i, r.Name, err)
			}
			return mistake("%w", err)
		}
		connections += r.Connections
	}
	return checkDescriptors(connections, o.Loops)
}

// checkDescriptors says before any time is spent that the connections cannot all be opened.
func checkDescriptors(connections, loops int) error {
	if connections > connectionsMax {
		return mistake("%d connections: at most %d in a run", connections, connectionsMax)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("load: getrlimit RLIMIT_NOFILE: %w", err)
	}
	if need := connections + 3*loops + descriptorSpare; uint64(need) > uint64(limit.Cur) {
		return fmt.Errorf("load: %d connections need %d descriptors and the limit is %d: raise it with ulimit -n %d",
			connections, need, limit.Cur, need)
	}
	return nil
}

func (r *Role) check() error {
	r.Pipeline = cmp.Or(r.Pipeline, 1)
	switch {
	case r.Connections < 1:
		return fmt.Errorf("%d connections: there must be one at least", r.Connections)
	case r.Pipeline < 1 || r.Pipeline > pipelineMax:
		return fmt.Errorf("a pipeline of %d: it must be 1 to %d deep", r.Pipeline, pipelineMax)
	case r.Rate < 0 || r.Rate > rateMax || r.Rate != r.Rate || r.Rate > 0 && r.Rate < rateMin:
		return fmt.Errorf("a rate of %v requests/s: it must lie between %v and %v", r.Rate, rateMin, float64(rateMax))
	case r.ReadRate < 0 || r.RecvBuffer < 0 || r.Requests < 0:
		return errors.New("one of ReadRate, RecvBuffer and Requests is negative")
	case r.CloseEach && r.Pipeline > 1:
		return errors.New("there is nothing to pipeline with CloseEach: set one of them")
	case r.Idle && (r.Rate > 0 || r.CloseEach || r.Pipeline > 1 || r.Requests > 0):
		return errors.New("connections that are Idle make one request: Rate, CloseEach, Pipeline and Requests do not " +
			"apply")
	case len(r.Targets) == 0 && !r.Idle:
		return errors.New("no targets: only Idle connections may be silent")
	}
	r.pace()
	if err := r.checkTargets(); err != nil {
		return err
	}
	var sum float64
	for i := range r.Targets {
		sum += cmp.Or(r.Targets[i].Weight, 1)
		r.weights = append(r.weights, sum)
	}
	if len(r.weights) < 2 || r.InTurn {
		r.weights = nil
	}
	return r.checkMemory()
}

// checkTargets checks all targets, whose requests together are bounded too.
func (r *Role) checkTargets() error {
	r.Targets = slices.Clone(r.Targets)
	size := 0
	for i := range r.Targets {
		size += len(r.Targets[i].Content)
	}
	for i := range r.Targets {
		if size > memoryMax {
			return fmt.Errorf("the requests of %d targets have more than %d MiB: ask for fewer or send less",
				len(r.Targets), memoryMax>>20)
		}
		t := &r.Targets[i]
		if err := r.checkTarget(t); err != nil {
			if len(r.Targets) > 1 {
				err = fmt.Errorf("target %d of %d: %w", i+1, len(r.Targets), err)
			}
			return err
		}
		size += len(t.request) - len(t.Content)
	}
	return nil
}

// checkMemory bounds what a role's requests can take while the server takes none of them.
func (r *Role) checkMemory() error {
	longest := 0
	for i := range r.Targets {
		longest = max(longest, len(r.Targets[i].request))
	}
	if all := float64(longest) * float64(r.Pipeline) * float64(r.Connections); longest > headSentMax &&
		all > memoryMax {
		return fmt.Errorf("%d connections with %d requests of %d bytes in flight may hold %.0f MiB, more than %d: ask "+
			"for fewer or send less", r.Connections, r.Pipeline, longest, all/(1<<20), memoryMax>>20)
	}
	return nil
}

// pace turns bytes/s into a portion and an interval: 20 portions a second, fewer below 20 bytes/s.
func (r *Role) pace() {
	const portions = 20
	r.chunk = max(r.ReadRate/portions, 1)
	if r.ReadRate > 0 {
		r.tick = int64(r.chunk) * int64(time.Second) / int64(r.ReadRate)
	}
}

// checkTarget fills in the defaults of t, and its request as it is sent.
func (r *Role) checkTarget(t *Target) (err error) {
	t.Method, t.Path, t.Status = cmp.Or(t.Method, "GET"), cmp.Or(t.Path, "/"), cmp.Or(t.Status, 200)
	switch {
	case !token(t.Method) || t.Method == "CONNECT":
		return fmt.Errorf("method %q: it must be a token, and not CONNECT, which asks for a tunnel (RFC 9110 section "+
			"9.3.6)", t.Method)
	case strings.ContainsFunc(t.Path, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return fmt.Errorf("path %q has a space or a control character: percent-encode it", t.Path)
	case t.Weight < 0 || t.Weight != t.Weight:
		return fmt.Errorf("weight %v is not a positive number", t.Weight)
	case t.Status < SuccessStatus || t.Status > 999:
		return fmt.Errorf("status %d: give 200 to 999, AnyStatus or SuccessStatus", t.Status)
	case t.Length < AnyLength:
		return fmt.Errorf("length %d: give 0 or more, or AnyLength", t.Length)
	case t.Body != nil && t.Length > 0 && t.Length != int64(len(t.Body)):
		return fmt.Errorf("length %d is not that of the body, %d", t.Length, len(t.Body))
	}
	if t.Body != nil {
		t.Length = int64(len(t.Body))
	}
	t.request, err = r.request(t)
	return err
}

// request is the bytes of a request.
func (r *Role) request(t *Target) ([]byte, error) {
	fields := append([]string{"Host: " + cmp.Or(t.Host, r.Addr.host())}, t.Fields...)
	if r.CloseEach {
		fields = append(fields, "Connection: close")
	}
	if len(t.Content) > 0 || slices.Contains([]string{"POST", "PUT", "PATCH"}, t.Method) {
		// Where a method is for content its absence is said too (RFC 9110 section 8.6).
		fields = append(fields, fmt.Sprintf("Content-Length: %d", len(t.Content)))
	}
	for i, field := range fields {
		name, _, ok := strings.Cut(field, ":")
		if !ok || !token(name) || hasControl([]byte(field)) {
			return nil, fmt.Errorf("field %q is not of the form \"Name: value\"", field)
		}
		// A second one would make the request ambiguous.
		if i > 0 && i <= len(t.Fields) && slices.ContainsFunc([]string{"Host", "Content-Length", "Transfer-Encoding"},
			func(own string) bool { return strings.EqualFold(name, own) }) {
			return nil, fmt.Errorf("field %q: the client writes %s itself", field, name)
		}
	}
	head := t.Method + " " + t.Path + " HTTP/1.1\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	switch {
	case len(head) > headSentMax:
		return nil, fmt.Errorf("the request's head has %d bytes, more than %d", len(head), headSentMax)
	case len(t.Content) > ContentMax:
		return nil, fmt.Errorf("the request's content has %d bytes, more than %d", len(t.Content), ContentMax)
	}
	return append([]byte(head), t.Content...), nil
}

// token reports whether s is one (RFC 9110 section 5.6.2).
func token(s string) bool {
	for i := range len(s) {
		if !isToken[s[i]] {
			return false
		}
	}
	return s != ""
}

// toHead reports whether no content follows the answer's head.
func (t *Target) toHead() bool { return t.Method == "HEAD" }

// accepts reports whether an answer of that status is a right one.
func (t *Target) accepts(status int) bool {
	switch t.Status {
	case AnyStatus:
		return true
	case SuccessStatus:
		return status >= 200 && status < 400
	default:
		return status == t.Status
	}
}

// statusText names what accepts accepts.
func statusText(status int) string {
	switch status {
	case AnyStatus:
		return "any"
	case SuccessStatus:
		return "200 to 399"
	default:
		return strconv.Itoa(status)
	}
}
