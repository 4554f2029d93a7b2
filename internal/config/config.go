// Package config is what a server is told: defaults, flags and variables in one
// checked struct. The defaults are those of the documented configuration.
//
// It imports nothing of this project.
package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sizes in bytes.
const (
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30
)

// Config is the whole configuration, checked. The yaml tag of a field is its key
// in the file; evhttpd.yaml says what each means.
type Config struct {
	Listen         []Address      `yaml:"listen"`
	Backlog        int            `yaml:"backlog"`
	DeferAccept    bool           `yaml:"defer_accept"`
	UnixMode       os.FileMode    `yaml:"unix_mode"`
	ProxyProtocol  []netip.Prefix `yaml:"proxy_protocol"`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`
	ServerHeader   string         `yaml:"server_header"` // empty: none is sent

	IOModel string `yaml:"io_model"`
	Trigger string `yaml:"trigger"`
	Loops   int    `yaml:"loops"` // 0: auto
	Accept  string `yaml:"accept"`
	Threads int    `yaml:"threads"` // of io_model blocking
	Workers int    `yaml:"workers"`
	Turn    Turn   `yaml:"turn"`

	Limits   Limits   `yaml:"limits"`
	Timeouts Timeouts `yaml:"timeouts"`
	Cache    Cache    `yaml:"cache"`

	Log       Log       `yaml:"log"`
	AccessLog AccessLog `yaml:"access_log"`
	Admin     Admin     `yaml:"admin"`

	Sites []Site `yaml:"sites"` // at least one; the first whose hosts match answers
}

// Turn is one connection's turn before the others'; 0: no bound, which lets one starve all.
type Turn struct {
	Requests int   `yaml:"requests"`
	Bytes    int64 `yaml:"bytes"`
}

// Limits of the configuration, sizes in bytes; 0: none, but for Connections (auto).
type Limits struct {
	Connections           int   `yaml:"connections"`
	ConnectionsPerClient  int   `yaml:"connections_per_client"`
	RequestsPerClient     Rate  `yaml:"requests_per_client"`
	RequestsPerConnection int   `yaml:"requests_per_connection"`
	RequestLine           int   `yaml:"request_line"`
	Head                  int   `yaml:"head"`
	Fields                int   `yaml:"fields"`
	Body                  int64 `yaml:"body"`
	Ranges                int   `yaml:"ranges"`
	Output                int   `yaml:"output"`
}

// Rate is how often something may happen; the zero Rate is no limit.
type Rate struct {
	Count int           // in each Per, on average
	Per   time.Duration // a second, a minute or an hour
	Burst int           // at once, before the average counts; at least 1
}

// Timeouts of the configuration; 0: none, but for Drain (at once) and DrainDelay (no delay).
type Timeouts struct {
	FirstByte  time.Duration `yaml:"first_byte"`
	Head       time.Duration `yaml:"head"`
	Body       time.Duration `yaml:"body"`
	Send       time.Duration `yaml:"send"`
	KeepAlive  time.Duration `yaml:"keep_alive"`
	Deferred   time.Duration `yaml:"deferred"`
	Connection time.Duration `yaml:"connection"`
	DrainDelay time.Duration `yaml:"drain_delay"`
	Drain      time.Duration `yaml:"drain"`
}

// Cache bounds what is kept of files, for the whole process; sizes in bytes.
type Cache struct {
	Memory      int64         `yaml:"memory"`
	File        int64         `yaml:"file"`
	Descriptors int           `yaml:"descriptors"`
	Valid       time.Duration `yaml:"valid"`
}

// Log is where events go.
type Log struct {
	Output string `yaml:"output"` // stderr, stdout or a file
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // auto, console, json
}

// AccessLog is where a line for each request goes.
type AccessLog struct {
	Output string `yaml:"output"` // off, - (stdout), a file, syslog:udp://HOST:PORT or syslog:unix:PATH
	Format string `yaml:"format"` // combined, json
}

// Admin is the control plane.
type Admin struct {
	Listen []Address `yaml:"listen"` // none: there is no control plane
	Pprof  bool      `yaml:"pprof"`
}

// Site is one document root and how it is served.
type Site struct {
	Hosts         []string          `yaml:"hosts"` // lower case: exact, *.example.org, or * for any and none
	Root          string            `yaml:"root"`
	Index         []string          `yaml:"index"`
	Listing       bool              `yaml:"listing"`
	Hide          []string          `yaml:"hide"`
	Symlinks      string            `yaml:"symlinks"` // beneath, follow, deny
	ETag          string            `yaml:"etag"`     // mtime, content, off
	Types         map[string]string `yaml:"types"`    // .ext: media type
	Precompressed []string          `yaml:"precompressed"`
	Compress      []string          `yaml:"compress"`
	TryFiles      []string          `yaml:"try_files"`
	Fallback      string            `yaml:"fallback"`    // empty: none
	ErrorPages    map[int]string    `yaml:"error_pages"` // status: path in the site
	Redirects     []Redirect        `yaml:"redirects"`
	Paths         []PathRule        `yaml:"paths"`
}

// Redirect sends the paths that match From elsewhere.
type Redirect struct {
	From   string `yaml:"from"` // a pattern
	To     string `yaml:"to"`   // a path or a URL; $1 is what the first wildcard matched
	Status int    `yaml:"status"`
}

// PathRule is what differs for the paths that match. Of all the rules that match
// a path, the later wins, key by key; what is nil or empty says nothing.
type PathRule struct {
	Match    string            `yaml:"match"`   // a pattern
	Headers  map[string]string `yaml:"headers"` // an empty value removes the field
	Listing  *bool             `yaml:"listing"`
	ETag     string            `yaml:"etag"`
	Hide     []string          `yaml:"hide"` // not nil but empty: nothing is hidden
	Symlinks string            `yaml:"symlinks"`
	Allow    []netip.Prefix    `yaml:"allow"`
	Deny     []netip.Prefix    `yaml:"deny"`
	Auth     *Auth             `yaml:"auth"`
	CORS     *CORS             `yaml:"cors"`
}

// Auth is basic authentication (RFC 7617).
type Auth struct {
	Realm    string `yaml:"realm"`
	Htpasswd string `yaml:"htpasswd"` // a file of name:bcrypt lines
}

// CORS says which other origins' scripts may read the answers.
type CORS struct {
	Origins     []string      `yaml:"origins"`
	Methods     []string      `yaml:"methods"`
	Headers     []string      `yaml:"headers"`
	Credentials bool          `yaml:"credentials"`
	MaxAge      time.Duration `yaml:"max_age"`
}

// Default returns the configuration that holds when nothing is said.
func Default() Config {
	return Config{
		Listen:       []Address{{Port: 8080}},
		Backlog:      4096,
		DeferAccept:  true,
		UnixMode:     0o660,
		ServerHeader: "evhttpd",
		IOModel:      "auto",
		Trigger:      "auto",
		Accept:       "auto",
		Threads:      256,
		Workers:      16,
		Turn:         Turn{Requests: 64, Bytes: 256 * KiB},
		Limits: Limits{
			RequestLine: 8 * KiB, Head: 32 * KiB, Fields: 100, Body: 64 * KiB, Ranges: 16, Output: 256 * KiB,
		},
		Timeouts: Timeouts{
			FirstByte: 30 * time.Second, Head: 10 * time.Second, Body: 20 * time.Second, Send: 2 * time.Minute,
			KeepAlive: 75 * time.Second, Deferred: 30 * time.Second, Connection: time.Hour, Drain: 8 * time.Second,
		},
		// Files above 32 KiB are cheaper to send from the page cache than to copy
		// from ours: see docs/performance.md.
		Cache:     Cache{Memory: 64 * MiB, File: 32 * KiB, Descriptors: 4096, Valid: time.Second},
		Log:       Log{Output: "stderr", Level: "info", Format: "auto"},
		AccessLog: AccessLog{Output: "-", Format: "combined"},
		Sites:     []Site{DefaultSite()},
	}
}

// DefaultSite returns a site that says nothing of its own.
func DefaultSite() Site {
	return Site{
		Hosts:         []string{"*"},
		Root:          ".",
		Index:         []string{"index.html"},
		Hide:          []string{".*", "!.well-known"},
		Symlinks:      "beneath",
		ETag:          "mtime",
		Precompressed: []string{"br", "zst", "gz"},
	}
}

// Address is where to listen.
type Address struct {
	Host    string // name or address; empty: every IPv4 and IPv6 address
	Port    uint16 // 0: one that the kernel chooses
	Unix    string // path of a Unix socket, instead of the others
	Systemd string // name of sockets that systemd passes (LISTEN_FDNAMES), instead of the others
}

// String returns the address as it is written in the configuration.
func (a Address) String() string {
	switch {
	case a.Unix != "":
		return "unix:" + a.Unix
	case a.Systemd != "":
		return "systemd:" + a.Systemd
	case strings.Contains(a.Host, ":"):
		return "[" + a.Host + "]:" + strconv.Itoa(int(a.Port))
	default:
		return a.Host + ":" + strconv.Itoa(int(a.Port))
	}
}

// errAddress is what is right, for every way to be wrong.
var errAddress = errors.New("want host:port, [v6]:port, a port, unix:PATH or systemd:NAME")

// ParseAddress reads host:port, [v6]:port, a port, unix:PATH or systemd:NAME.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return Address{}, fmt.Errorf("%q: no path: %w", s, errAddress)
		}
		return Address{Unix: path}, nil
	}
	if name, ok := strings.CutPrefix(s, "systemd:"); ok {
		// FileDescriptorName= of systemd.socket(5): up to 255 printable ASCII characters but colons.
		if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return Address{}, fmt.Errorf("%q: no name of a systemd socket: %w", s, errAddress)
		}
		return Address{Systemd: name}, nil
	}
	host, port := "", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("%q: the port is not a number from 0 to 65535: %w", s, errAddress)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if ip, err := netip.ParseAddr(inner); err != nil || !closed || !ip.Is6() {
			return Address{}, fmt.Errorf("%q: no IPv6 address between the brackets: %w", s, errAddress)
		}
		host = inner
	} else if strings.Contains(host, ":") {
		return Address{}, fmt.Errorf("%q: an IPv6 address goes in brackets: %w", s, errAddress)
	} else if strings.ContainsAny(host, "/ \t@") {
		return Address{}, fmt.Errorf("%q: %q is no host: %w", s, host, errAddress)
	}
	return Address{Host: host, Port: uint16(n)}, nil
}

// ParseLoops reads a number of loops, or auto (0).
func ParseLoops(s string) (int, error) {
	if s == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1024 {
		return 0, fmt.Errorf("%q: want auto or a number from 1 to 1024", s)
	}
	return n, nil
}

// threadsMax keeps the program below the 10,000 threads at which Go ends it.
const threadsMax = 8192

// ParseThreads reads a number of threads.
func ParseThreads(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > threadsMax {
		return 0, fmt.Errorf("%q: want a number from 1 to %d", s, threadsMax)
	}
	return n, nil
}

// ParseCount reads how many of something there may be; 0 is no limit.
func ParseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q: want a number from 0 (no limit) to %d", s, math.MaxInt32)
	}
	return int(n), nil
}

// sizeUnits are the suffixes of a size, and what each is in bytes.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}}

// ParseSize reads a size, 4096 or 256KiB or 1MiB or 2GiB, and returns it in bytes; 0 is no limit.
func ParseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, unit = strings.TrimRight(number, " "), u.bytes
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q: want bytes or a whole number of KiB, MiB or GiB, such as 256KiB, or 0 for no limit", s)
	case n > uint64(math.MaxInt64/unit):
		return 0, fmt.Errorf("%q: more than the largest size, %d bytes", s, int64(math.MaxInt64))
	}
	return int64(n) * unit, nil
}

// FormatSize writes bytes as ParseSize reads them, in the largest unit that leaves a whole number.
func FormatSize(bytes int64) string {
	for _, u := range slices.Backward(sizeUnits) {
		if bytes != 0 && bytes%u.bytes == 0 {
			return strconv.FormatInt(bytes/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// ParseSwitch reads on or off.
func ParseSwitch(s string) (bool, error) {
	switch s {
	case "on", "true":
		return true, nil
	case "off", "false":
		return false, nil
	}
	return false, fmt.Errorf("%q: want on or off", s)
}

// OneOf returns s if it is one of the choices.
func OneOf(s string, choices ...string) (string, error) {
	for _, c := range choices {
		if s == c {
			return s, nil
		}
	}
	return "", fmt.Errorf("%q: want %s", s, strings.Join(choices, ", "))
}
