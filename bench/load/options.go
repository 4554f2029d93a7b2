package load

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pipelineMax    = 4096    // in flight on one connection: a request is 16 bytes of memory there
	connectionsMax = 1 << 20 // of a run
	loopsMax       = 256
	requestMax     = 16 << 10 // bytes of one request
	// rateMax keeps an interval at 100 ns and more, which no client of one thread reaches.
	rateMax         = 1e7
	descriptorSpare = 32 // descriptors of everything else: the poller's, standard files, files of the caller
)

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
	request []byte
	toHead  bool
	status  int
	length  int64
	body    []byte
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
		return nil, errors.New("load: no roles: name at least one group of connections")
	case o.Duration <= 0:
		return nil, errors.New("load: Duration must be more than 0: a run has an end")
	case o.WarmUp < 0 || o.Ramp < 0 || o.Drain < 0:
		return nil, errors.New("load: WarmUp, Ramp and Drain must not be negative")
	case o.Timeout < time.Millisecond || o.Timeout > time.Duration(latencyMax):
		return nil, fmt.Errorf("load: a Timeout of %v: it must lie between 1 ms and %v", o.Timeout, time.Duration(latencyMax))
	case o.Loops < 1 || o.Loops > loopsMax:
		return nil, fmt.Errorf("load: %d loops: there must be 1 to %d", o.Loops, loopsMax)
	}
	roles := make([]role, len(o.Roles))
	connections := 0
	for i := range o.Roles {
		roles[i].Role = o.Roles[i]
		if err := roles[i].check(); err != nil {
			return nil, fmt.Errorf("load: role %d %q: %w", i, o.Roles[i].Name, err)
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
		return fmt.Errorf("load: %d connections: at most %d in a run", connections, connectionsMax)
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
	case !r.Addr.IsValid() || r.Addr.Port() == 0:
		return fmt.Errorf("the address %v is not an IP address and port", r.Addr)
	case r.Connections < 1:
		return fmt.Errorf("%d connections: there must be one at least", r.Connections)
	case r.Pipeline < 1 || r.Pipeline > pipelineMax:
		return fmt.Errorf("a pipeline of %d: it must be 1 to %d deep", r.Pipeline, pipelineMax)
	case r.Rate < 0 || r.Rate > rateMax || r.Rate != r.Rate:
		return fmt.Errorf("a rate of %v requests/s: it must lie between 0 and %v", r.Rate, float64(rateMax))
	case r.ReadRate < 0 || r.RecvBuffer < 0 || r.Requests < 0:
		return errors.New("one of ReadRate, RecvBuffer and Requests is negative")
	case r.CloseEach && r.Pipeline > 1:
		return errors.New("there is nothing to pipeline with CloseEach: set one of them")
	case r.Idle && (r.Rate > 0 || r.CloseEach || r.Pipeline > 1 || r.Requests > 0):
		return errors.New("connections that are Idle make one request: Rate, CloseEach, Pipeline and Requests do not apply")
	case len(r.Targets) == 0 && !r.Idle:
		return errors.New("no targets: only Idle connections may be silent")
	}
	r.pace()
	var sum float64
	for i := range r.Targets {
		if err := r.addTarget(&r.Targets[i]); err != nil {
			return fmt.Errorf("target %d: %w", i, err)
		}
		sum += orDefault(r.Targets[i].Weight, 1)
		r.weights = append(r.weights, sum)
	}
	if len(r.weights) < 2 {
		r.weights = nil
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

// family and sockaddr are the address as socket(2) and connect(2) take it.
func (r *role) family() int {
	if r.Addr.Addr().Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// sockaddr makes one for each loop: connecting writes to it.
func (r *role) sockaddr() unix.Sockaddr {
	port, ip := int(r.Addr.Port()), r.Addr.Addr().Unmap()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
}

func (r *role) addTarget(t *Target) error {
	method, path := orDefault(t.Method, "GET"), orDefault(t.Path, "/")
	status, length := orDefault(t.Status, 200), t.Length
	switch {
	case method != "GET" && method != "HEAD":
		return fmt.Errorf("method %q: it must be GET or HEAD", method)
	case strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return fmt.Errorf("path %q has a space or a control character: percent-encode it", path)
	case t.Weight < 0 || t.Weight != t.Weight:
		return fmt.Errorf("weight %v is not a positive number", t.Weight)
	case length < AnyLength:
		return fmt.Errorf("length %d: give 0 or more, or AnyLength", length)
	case t.Body != nil && length > 0 && length != int64(len(t.Body)):
		return fmt.Errorf("length %d is not that of the body, %d", length, len(t.Body))
	}
	if t.Body != nil {
		length = int64(len(t.Body))
	}
	fields := append([]string{"Host: " + orDefault(t.Host, r.Addr.String())}, t.Fields...)
	if r.CloseEach {
		fields = append(fields, "Connection: close")
	}
	for _, field := range fields {
		if name, _, ok := strings.Cut(field, ":"); !ok || name == "" || hasControl([]byte(field)) {
			return fmt.Errorf("field %q is not of the form \"Name: value\"", field)
		}
	}
	request := []byte(method + " " + path + " HTTP/1.1\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n")
	if len(request) > requestMax {
		return fmt.Errorf("the request has %d bytes, more than %d", len(request), requestMax)
	}
	r.targets = append(r.targets, target{path: path, request: request, toHead: method == "HEAD", status: status, length: length, body: t.Body})
	return nil
}
