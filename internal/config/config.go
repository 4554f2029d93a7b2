// Package config is what a server is told: the defaults, a YAML file, variables and flags in one checked struct.
//
// [Config] is the struct, and evhttpd.yaml beside it the same in words: every key with its default. The table kinds
// says how each key's value is written, the table flags which keys the command line has. [Sources] reads them all and
// reports everything that is wrong, each with its place.
//
// What a value may be is for its owner to say: internal/site, internal/guard, internal/static, internal/accesslog and
// iomodel check what they are given, and this package asks them.
//
// It imports those five, and http1 for what a field is.
package config

import (
	_ "embed"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/site"
)

// Config is the whole configuration, checked. The yaml tag of a field is its key in the file; evhttpd.yaml says what
// each means.
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

	Sites []site.Site `yaml:"sites"` // at least one; the first whose hosts match answers
}

// Turn is one connection's turn before the others'; 0: no bound, which lets one starve all.
type Turn struct {
	Requests int   `yaml:"requests"`
	Bytes    int64 `yaml:"bytes"`
}

// Limits of the configuration, sizes in bytes; 0: none, but for Connections and Buffers (auto).
type Limits struct {
	Connections           int        `yaml:"connections"`
	ConnectionsPerClient  int        `yaml:"connections_per_client"`
	RequestsPerClient     guard.Rate `yaml:"requests_per_client"`
	RequestsPerConnection int        `yaml:"requests_per_connection"`
	RequestLine           int        `yaml:"request_line"`
	Head                  int        `yaml:"head"`
	Fields                int        `yaml:"fields"`
	Body                  int64      `yaml:"body"`
	Ranges                int        `yaml:"ranges"`
	Output                int        `yaml:"output"`
	Buffers               int64      `yaml:"buffers"`
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
	Output string           `yaml:"output"` // off, - (stdout), a file, syslog:udp://HOST:PORT or syslog:unix:PATH
	Format accesslog.Format `yaml:"format"`
}

// Admin is the control plane.
type Admin struct {
	Listen []Address `yaml:"listen"` // none: there is no control plane
	// names by which it is asked, beside addresses, localhost, names in Listen and the machine's
	Hosts []string `yaml:"hosts"`
	Pprof bool     `yaml:"pprof"`
}

// Documented is the whole configuration with its defaults, in words: a file that says every key.
//
//go:embed evhttpd.yaml
var Documented string

// Default returns the configuration that holds when nothing is said: that of Documented.
func Default() Config {
	cfg, _ := readDocumented(Documented)
	return cfg
}

// defaults is Default, to be looked at alone.
var defaults = sync.OnceValue(Default)

// documentedRules has the keys that have no line of their own in Documented.
//
//go:embed rules.yaml
var documentedRules string

// readDocumented reads one of the two, and returns where each key stands in it.
func readDocumented(text string) (cfg Config, at origins) {
	r := &reader{problems: &problems{bad: make(map[string]bool)}, origins: make(origins)}
	r.read([]byte(text), &cfg)
	return cfg, r.origins
}
