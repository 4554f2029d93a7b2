package load

import (
	"errors"
	"fmt"
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

// role is a checked Role with what follows from it.
type role struct {
	Role
	targets []target
	weights []float64 // sums up to each target's own; nil if there is one target
	chunk   int       // bytes that a slow reader reads at a time
	tick    int64     // nanoseconds from one such time to the next
}

// target is a Target as the loops use it.
type target struct {
	path    string // for messages
	request []byte // head and content
	toHead  bool
	status  int
	length  int64
	body    []byte
}

// ErrOptions marks an error in Options.
var ErrOptions = errors.New("load")

func mistake(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrOptions, fmt.Errorf(format, args...))
}

// Check says what Run would refuse, but for addresses that are missing: they may have to be looked up first.
func (o Options) Check() error {
	_, err := o.check()
	return err
}

// checkAddresses says which role has no address.
func checkAddresses(roles []role) error {
	for i := range roles {
		if !roles[i].Addr.valid() {
			return mistake("role %d %q: the address %v is neither an IP address and port nor a Unix socket", i,
				roles[i].Name,
				roles[i].Addr)
		}
	}
	return nil
}

// check fills in the defaults of o and refuses what makes no sense.
func (o *Options) check() ([]role, error) {
	o.Ramp = orDefault(o.Ramp, 10*time.Second)
	o.Drain = orDefault(o.Drain, time.Second)
	o.Timeout = orDefault(o.Timeout, 10*time.Second)
	o.Loops = orDefault(o.Loops, 1)
	o.CheckEvery = orDefault(o.CheckEvery, 16)
	switch {
	case len(o.Roles) == 0:
		return nil, mistake("no roles: name at least one group of connections")
	case o.Duration <= 0:
		return nil, mistake("Duration must be more than 0: a run has an end")
	case o.WarmUp < 0 || o.Ramp < 0 || o.Drain < 0:
		return nil, mistake("WarmUp, Ramp and Drain must not be negative")
	case o.Timeout < time.Millisecond || o.Timeout > timeoutMax:
		return nil, mistake("a Timeout of %v: it must lie between 1 ms and %v", o.Timeout, timeoutMax)
	case o.Loops < 1 || o.Loops > loopsMax:
		return nil, mistake("%d loops: there must be 1 to %d", o.Loops, loopsMax)
	}
	roles := make([]role, len(o.Roles))
	connections := 0
	for i := range o.Roles {
		roles[i].Role = o.Roles[i]
		if err := roles[i].check(); err != nil {
			if len(o.Roles) > 1 {
				err = fmt.Errorf("role %d %q: %w", i, o.Roles[i].Name, err)
			}
			return nil, mistake("%w", err)
		}
		connections += roles[i].Connections
	}
	return roles, checkDescriptors(connections, o.Loops)
}

// orDefault returns value, or what stands for 0.
func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
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

func (r *role) check() error {
	r.Pipeline = orDefault(r.Pipeline, 1)
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
	if err := r.addTargets(); err != nil {
		return err
	}
	var sum float64
	for i := range r.Targets {
		sum += orDefault(r.Targets[i].Weight, 1)
		r.weights = append(r.weights, sum)
	}
	if len(r.weights) < 2 || r.InTurn {
		r.weights = nil
	}
	return r.checkMemory()
}

// addTargets adds all targets, whose requests together are bounded too.
func (r *role) addTargets() error {
	size := 0
	for i := range r.Targets {
		size += len(r.Targets[i].Content)
	}
	for i := range r.Targets {
		if size > memoryMax {
			return fmt.Errorf("the requests of %d targets have more than %d MiB: ask for fewer or send less",
				len(r.Targets),
				memoryMax>>20)
		}
		if err := r.addTarget(&r.Targets[i]); err != nil {
			if len(r.Targets) > 1 {
				err = fmt.Errorf("target %d of %d: %w", i+1, len(r.Targets), err)
			}
			return err
		}
		size += len(r.targets[i].request) - len(r.Targets[i].Content)
	}
	return nil
}

// checkMemory bounds what a role's requests can take while the server takes none of them.
func (r *role) checkMemory() error {
	longest := 0
	for i := range r.targets {
		longest = max(longest, len(r.targets[i].request))
	}
	if all := float64(longest) * float64(r.Pipeline) * float64(r.Connections); longest > headSentMax &&
		all > memoryMax {
		return fmt.Errorf("%d connections with %d requests of %d bytes in flight may hold %.0f MiB, more than %d: ask "+
			"for fewer or send less", r.Connections, r.Pipeline, longest, all/(1<<20), memoryMax>>20)
	}
	return nil
}

// pace turns bytes/s into a portion and an interval: 20 portions a second, fewer below 20 bytes/s.
func (r *role) pace() {
	const portions = 20
	r.chunk = max(r.ReadRate/portions, 1)
	if r.ReadRate > 0 {
		r.tick = int64(r.chunk) * int64(time.Second) / int64(r.ReadRate)
	}
}

// addTarget checks t and adds the request as it is sent.
func (r *role) addTarget(t *Target) error {
	method, path := orDefault(t.Method, "GET"), orDefault(t.Path, "/")
	status, length := orDefault(t.Status, 200), t.Length
	switch {
	case !token(method) || method == "CONNECT":
		return fmt.Errorf("method %q: it must be a token, and not CONNECT, which asks for a tunnel (RFC 9110 section "+
			"9.3.6)", method)
	case strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return fmt.Errorf("path %q has a space or a control character: percent-encode it", path)
	case t.Weight < 0 || t.Weight != t.Weight:
		return fmt.Errorf("weight %v is not a positive number", t.Weight)
	case status < SuccessStatus || status > 999:
		return fmt.Errorf("status %d: give 200 to 999, AnyStatus or SuccessStatus", status)
	case length < AnyLength:
		return fmt.Errorf("length %d: give 0 or more, or AnyLength", length)
	case t.Body != nil && length > 0 && length != int64(len(t.Body)):
		return fmt.Errorf("length %d is not that of the body, %d", length, len(t.Body))
	}
	if t.Body != nil {
		length = int64(len(t.Body))
	}
	request, err := r.request(method, path, t)
	if err != nil {
		return err
	}
	r.targets = append(r.targets, target{path: path, request: request, toHead: method == "HEAD", status: status,
		length: length, body: t.Body})
	return nil
}

// request is the bytes of a request.
func (r *role) request(method, path string, t *Target) ([]byte, error) {
	fields := append([]string{"Host: " + orDefault(t.Host, r.Addr.host())}, t.Fields...)
	if r.CloseEach {
		fields = append(fields, "Connection: close")
	}
	if len(t.Content) > 0 || method == "POST" || method == "PUT" || method == "PATCH" {
		// Where a method is for content its absence is said too (RFC 9110 section 8.6).
		fields = append(fields, fmt.Sprintf("Content-Length: %d", len(t.Content)))
	}
	for i, field := range fields {
		name, _, ok := strings.Cut(field, ":")
		if !ok || !token(name) || hasControl([]byte(field)) {
			return nil, fmt.Errorf("field %q is not of the form \"Name: value\"", field)
		}
		if given := i > 0 && i <= len(t.Fields); given && writtenHere(name) {
			return nil, fmt.Errorf("field %q: the client writes %s itself", field, name)
		}
	}
	head := method + " " + path + " HTTP/1.1\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	switch {
	case len(head) > headSentMax:
		return nil, fmt.Errorf("the request's head has %d bytes, more than %d", len(head), headSentMax)
	case len(t.Content) > ContentMax:
		return nil, fmt.Errorf("the request's content has %d bytes, more than %d", len(t.Content), ContentMax)
	}
	return append([]byte(head), t.Content...), nil
}

// writtenHere reports whether a field is not the caller's: a second one would make the request ambiguous.
func writtenHere(name string) bool {
	return strings.EqualFold(name, "Host") || strings.EqualFold(name, "Content-Length") ||
		strings.EqualFold(name, "Transfer-Encoding")
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

// accepts reports whether an answer of that status is a right one.
func (t *target) accepts(status int) bool {
	switch t.status {
	case AnyStatus:
		return true
	case SuccessStatus:
		return status >= 200 && status < 400
	default:
		return status == t.status
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
