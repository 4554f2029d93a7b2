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

// Config is the whole configuration, checked.
type Config struct {
	Listen       []Address
	Backlog      int
	DeferAccept  bool
	UnixMode     os.FileMode
	ServerHeader string

	IOModel string
	Trigger string
	Loops   int // 0: auto
	Threads int // of io_model blocking
	Accept  string
	Workers int

	// A connection's turn before the others'; 0: no bound, which lets one starve all.
	TurnRequests int
	TurnBytes    int64

	Limits   Limits
	Timeouts Timeouts
	Cache    Cache

	AccessLog string // off, - or a file
	Site      Site
}

// Limits of the configuration; 0: none, but for Connections (auto).
type Limits struct {
	Connections           int
	RequestsPerConnection int
	RequestLine           int
	Head                  int
	Fields                int
	Body                  int64
	Output                int
}

// Timeouts of the configuration.
type Timeouts struct {
	FirstByte, Head, Body, Send, KeepAlive, Deferred, Connection, Drain time.Duration
}

// Cache bounds what is kept of files, for the whole process.
type Cache struct {
	Memory      int64
	File        int64
	Descriptors int
	Valid       time.Duration
}

// Site is one document root.
type Site struct {
	Root    string
	Index   []string
	Listing bool
	Hide    []string
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
		Threads:      256,
		Accept:       "auto",
		Workers:      16,
		TurnRequests: 64,
		TurnBytes:    256 * KiB,
		Limits: Limits{
			RequestLine: 8 * KiB, Head: 32 * KiB, Fields: 100, Body: 64 * KiB, Output: 256 * KiB,
		},
		Timeouts: Timeouts{
			FirstByte: 30 * time.Second, Head: 10 * time.Second, Body: 20 * time.Second, Send: 2 * time.Minute,
			KeepAlive: 75 * time.Second, Deferred: 30 * time.Second, Connection: time.Hour, Drain: 8 * time.Second,
		},
		Cache:     Cache{Memory: 64 * MiB, File: 64 * KiB, Descriptors: 4096, Valid: time.Second},
		AccessLog: "-",
		Site:      Site{Root: ".", Index: []string{"index.html"}, Hide: []string{".*", "!.well-known"}},
	}
}

// Address is where to listen.
type Address struct {
	Host string // name or address; empty: every IPv4 and IPv6 address
	Port uint16 // 0: one that the kernel chooses
	Unix string // path of a Unix socket, instead of the others
}

// String returns the address as it is written in the configuration.
func (a Address) String() string {
	switch {
	case a.Unix != "":
		return "unix:" + a.Unix
	case strings.Contains(a.Host, ":"):
		return "[" + a.Host + "]:" + strconv.Itoa(int(a.Port))
	default:
		return a.Host + ":" + strconv.Itoa(int(a.Port))
	}
}

// errAddress is what is right, for every way to be wrong.
var errAddress = errors.New("want host:port, [v6]:port, a port or unix:PATH")

// ParseAddress reads host:port, [v6]:port, a port, or unix:PATH.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return Address{}, fmt.Errorf("%q: no path: %w", s, errAddress)
		}
		return Address{Unix: path}, nil
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
