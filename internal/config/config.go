// Package config is what a server is told: the defaults, a YAML file, variables and flags in one checked struct.
//
// [Config] is the struct, and evhttpd.yaml beside it the same in words: every key with its default. The table kinds
// says how each key's value is written, the table flags which keys the command line has. [Sources] reads them all and
// reports everything that is wrong, each with its place.
//
// What a value may be is for its owner to say: internal/site, internal/guard, internal/static and iomodel check what
// they are given, and this package asks them.
//
// It imports those four, and http1 for what a field is.
package config

import (
	"net/netip"
	"os"
	"time"

	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/internal/static"
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
	Output string `yaml:"output"` // off, - (stdout), a file, syslog:udp://HOST:PORT or syslog:unix:PATH
	Format string `yaml:"format"` // combined, json
}

// Admin is the control plane.
type Admin struct {
	Listen []Address `yaml:"listen"` // none: there is no control plane
	// names by which it is asked, beside addresses, localhost, names in Listen and the machine's
	Hosts []string `yaml:"hosts"`
	Pprof bool     `yaml:"pprof"`
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
			RequestLine: 8 * KiB, Head: 32 * KiB, Fields: 100, Body: 64 * KiB, Ranges: 256, Output: 256 * KiB,
		},
		Timeouts: Timeouts{
			FirstByte: 30 * time.Second, Head: 10 * time.Second, Body: 20 * time.Second, Send: 2 * time.Minute,
			KeepAlive: 75 * time.Second, Deferred: 30 * time.Second, Connection: time.Hour, Drain: 8 * time.Second,
		},
		Cache:     Cache{Memory: 64 * MiB, File: 64 * KiB, Descriptors: 4096, Valid: time.Second},
		Log:       Log{Output: "stderr", Level: "info", Format: "auto"},
		AccessLog: AccessLog{Output: "-", Format: "combined"},
		Sites:     []site.Site{DefaultSite()},
	}
}

// DefaultSite returns a site that says nothing of its own.
func DefaultSite() site.Site {
	return site.Site{
		Hosts:         []string{"*"},
		Root:          ".",
		Index:         []string{"index.html"},
		Hide:          []string{".*", "!.well-known"},
		Links:         static.LinksBeneath,
		ETag:          static.ETagMtime,
		Precompressed: []string{"br", "zst", "gz"},
	}
}
