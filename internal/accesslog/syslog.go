package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/sink"
)

// SyslogPrefix begins the name of a syslog.
const SyslogPrefix = "syslog:"

const (
	// syslogPort is syslog's over UDP (RFC 5426 section 3.3).
	syslogPort = "514"
	// syslogPriority is local7.info: facility 23 times 8 and severity 6 (RFC 5424 section 6.2.1).
	syslogPriority = "<190>"
	syslogTag      = "evhttpd"
	// reconnectEvery is how long a syslog that has gone away is left alone.
	reconnectEvery = time.Second
	// writeMax is how long one call waits for a syslog whose queue is full. After each, the wait ends if it was
	// abandoned.
	writeMax = 100 * time.Millisecond
)

// syslogSink sends each line as a datagram of its own:
//
//   - over UDP as RFC 5424 has it, <190>1 TIME HOST evhttpd PID access - LINE,
//     which is what reads it over a network;
//   - to a Unix socket as syslog(3) does, <190>Mmm dd hh:mm:ss evhttpd[PID]: LINE
//     (RFC 3164 without the host's name), which is all that some programs which listen on /dev/log read.
type syslogSink struct {
	network, address string   // as package net has them; a host is an address already
	conn             net.Conn // nil: there is no connection
	header           func(dst []byte, now time.Time) []byte
	second           int64 // that text is of
	text             []byte
	packet           []byte
	retry            time.Time
}

// CheckSyslog says what is wrong with a name that begins with SyslogPrefix.
func CheckSyslog(name string) error {
	_, _, err := syslogAt(name)
	return err
}

// syslogAt returns the network and the address of a name: syslog:udp://HOST[:PORT] or syslog:unix:PATH.
func syslogAt(name string) (network, address string, err error) {
	where := strings.TrimPrefix(name, SyslogPrefix)
	if path, ok := strings.CutPrefix(where, "unix:"); ok && path != "" {
		return "unixgram", path, nil
	}
	if address, ok := strings.CutPrefix(where, "udp://"); ok {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port = strings.Trim(address, "[]"), syslogPort
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err == nil && n > 0 && host != "" && !strings.ContainsAny(host, "/ \t@") {
			return "udp", net.JoinHostPort(host, port), nil
		}
	}
	return "", "", fmt.Errorf("%q: want syslog:udp://HOST:514 or syslog:unix:/dev/log", name)
}

// openSyslog connects to the syslog of that name. It may take as long as the resolver does.
func openSyslog(name string) (*syslogSink, error) {
	network, address, err := syslogAt(name)
	if err != nil {
		return nil, fmt.Errorf("accesslog: %w", err)
	}
	s := &syslogSink{network: network, address: address}
	pid := strconv.Itoa(os.Getpid())
	if network == "unixgram" {
		s.header = func(dst []byte, now time.Time) []byte {
			dst = append(dst, syslogPriority...)
			return append(append(append(now.AppendFormat(dst, "Jan _2 15:04:05 "), syslogTag+"["...), pid...), "]: "...)
		}
	} else {
		to, err := net.ResolveUDPAddr(network, address)
		if err != nil {
			return nil, fmt.Errorf("accesslog: open %s: %w", name, err)
		}
		s.address = to.String()
		hostname, err := os.Hostname()
		unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
		if err != nil || hostname == "" || strings.ContainsFunc(hostname, unprintable) {
			hostname = "-"
		}
		s.header = func(dst []byte, now time.Time) []byte {
			dst = append(dst, syslogPriority+"1 "...)
			dst = now.AppendFormat(dst, "2006-01-02T15:04:05Z07:00 ")
			return append(append(append(dst, hostname...), " "+syslogTag+" "...), pid+" access - "...)
		}
	}
	if s.conn, err = net.Dial(s.network, s.address); err != nil {
		return nil, fmt.Errorf("accesslog: open %s: %w", name, err)
	}
	return s, nil
}

// WriteLines sends each line. What cannot be sent now is waited for, but for a
// syslog that is gone: lines are lost until it is there again.
func (s *syslogSink) WriteLines(lines []byte, abandoned <-chan struct{}) (lost int, err error) {
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		if end == 0 {
			end = len(lines)
		}
		line := bytes.TrimSuffix(lines[:end], newline)
		switch failed := s.send(line, abandoned); failed {
		case nil:
		case sink.ErrAbandoned:
			return lost + max(bytes.Count(lines, newline), 1), failed
		default:
			lost, err = lost+1, failed
		}
		lines = lines[end:]
	}
	return lost, err
}

// send sends one line.
func (s *syslogSink) send(line []byte, abandoned <-chan struct{}) error {
	now := time.Now()
	if second := now.Unix(); second != s.second || s.text == nil {
		s.second, s.text = second, s.header(s.text[:0], now)
	}
	s.packet = append(append(s.packet[:0], s.text...), line...)
	for tries := 0; ; {
		if s.conn == nil {
			if now.Before(s.retry) {
				return fmt.Errorf("nobody listens: %w", unix.ECONNREFUSED)
			}
			conn, err := net.Dial(s.network, s.address)
			if err != nil {
				s.retry = now.Add(reconnectEvery)
				return err
			}
			s.conn = conn
		}
		err := s.write(abandoned)
		if err == nil || err == sink.ErrAbandoned || errors.Is(err, unix.EMSGSIZE) { // a datagram is whole or lost
			return err
		}
		// UDP reports what became of an earlier datagram; a Unix socket, that the program which listened is gone.
		// Another socket shows whether it stays so.
		if tries++; tries == 1 && errors.Is(err, unix.ECONNREFUSED) && s.network == "udp" {
			continue
		}
		_ = s.Close() // nothing waits in a datagram socket
		if tries > 1 || s.network == "udp" {
			s.retry = now.Add(reconnectEvery)
			return err
		}
	}
}

// write sends the packet, and waits while the syslog's queue is full.
func (s *syslogSink) write(abandoned <-chan struct{}) error {
	for {
		if err := s.conn.SetWriteDeadline(time.Now().Add(writeMax)); err != nil {
			return err
		}
		_, err := s.conn.Write(s.packet)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, unix.ENOBUFS): // BSD says so that a queue is full, and not when it has room
			time.Sleep(writeMax / 10)
		default:
			return err
		}
		select {
		case <-abandoned:
			return sink.ErrAbandoned
		default:
		}
	}
}

// Terminal implements sink.Sink.
func (s *syslogSink) Terminal() bool { return false }

// Close implements sink.Sink.
func (s *syslogSink) Close() (err error) {
	if s.conn != nil {
		err = s.conn.Close()
	}
	s.conn = nil
	return err
}
