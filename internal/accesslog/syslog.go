package accesslog

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/sink"
)

const (
	syslogPrefix = "syslog:"
	// syslogPort is syslog's over UDP (RFC 5426 section 3.3).
	syslogPort = "514"
	// syslogPriority is local7.info: facility 23 times 8 and severity 6 (RFC 5424 section 6.2.1).
	syslogPriority = "<190>"
	syslogTag      = "evhttpd"
	// reconnectEvery is how long a syslog that has gone away is left alone.
	reconnectEvery = time.Second
)

// syslogSink sends each line as a datagram of its own:
//
//   - over UDP as RFC 5424 has it, <190>1 TIME HOST evhttpd PID access - LINE,
//     which is what reads it over a network;
//   - to a Unix socket as syslog(3) does, <190>Mmm dd hh:mm:ss evhttpd[PID]: LINE
//     (RFC 3164 without the host's name), which is all that some programs which listen on /dev/log read.
type syslogSink struct {
	name   string // as configured
	family int
	to     unix.Sockaddr
	fd     int // -1: there is no connection
	header func(dst []byte, now time.Time) []byte
	second int64 // that text is of
	text   []byte
	packet []byte
	retry  time.Time
}

// openSyslog reads udp://HOST[:PORT] or unix:PATH and connects.
func openSyslog(name string) (*syslogSink, error) {
	s := &syslogSink{name: name, fd: -1}
	where := strings.TrimPrefix(name, syslogPrefix)
	pid := strconv.Itoa(os.Getpid())
	if path, ok := strings.CutPrefix(where, "unix:"); ok && path != "" {
		s.family, s.to = unix.AF_UNIX, &unix.SockaddrUnix{Name: path}
		s.header = func(dst []byte, now time.Time) []byte {
			dst = append(dst, syslogPriority...)
			return append(append(append(now.AppendFormat(dst, "Jan _2 15:04:05 "), syslogTag+"["...), pid...), "]: "...)
		}
	} else if host, ok := strings.CutPrefix(where, "udp://"); ok && host != "" {
		if err := s.resolve(host); err != nil {
			return nil, err
		}
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
	} else {
		return nil, fmt.Errorf("accesslog: %q: want syslog:udp://HOST:514 or syslog:unix:PATH", name)
	}
	if err := s.connect(); err != nil {
		return nil, fmt.Errorf("accesslog: open %s: %w", name, err)
	}
	return s, nil
}

// resolve finds the address of a syslog server. It may take as long as the resolver does.
func (s *syslogSink) resolve(host string) error {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), syslogPort)
	}
	addr, err := net.ResolveUDPAddr("udp", host)
	if err != nil {
		return fmt.Errorf("accesslog: open %s: %w", s.name, err)
	}
	if ip := addr.IP.To4(); ip != nil || addr.IP == nil {
		to := &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}}
		copy(to.Addr[:], ip)
		s.family, s.to = unix.AF_INET, to
		return nil
	}
	to := &unix.SockaddrInet6{Port: addr.Port}
	copy(to.Addr[:], addr.IP.To16())
	if zone, err := net.InterfaceByName(addr.Zone); err == nil {
		to.ZoneId = uint32(zone.Index)
	}
	s.family, s.to = unix.AF_INET6, to
	return nil
}

// connect makes the socket, non-blocking and closed on exec.
func (s *syslogSink) connect() error {
	fd, err := unix.Socket(s.family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	unix.CloseOnExec(fd)
	if err = unix.SetNonblock(fd, true); err == nil {
		err = unix.Connect(fd, s.to)
	}
	if err != nil {
		_ = unix.Close(fd) // it was never used
		return err
	}
	s.fd = fd
	return nil
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
		if s.fd < 0 {
			if now.Before(s.retry) {
				return fmt.Errorf("nobody listens: %w", unix.ECONNREFUSED)
			}
			if err := s.connect(); err != nil {
				s.retry = now.Add(reconnectEvery)
				return err
			}
		}
		err := unix.Send(s.fd, s.packet, unix.MSG_NOSIGNAL)
		switch err {
		case nil, unix.EMSGSIZE: // a datagram is whole or lost
			return err
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS: // BSD says that a queue is full by ENOBUFS
			if err := sink.Await(s.fd, abandoned); err != nil {
				return err
			}
		default:
			// UDP reports what became of an earlier datagram; a Unix socket, that
			// the program which listened is gone. Another socket shows whether it stays so.
			if tries++; tries == 1 && err == unix.ECONNREFUSED && s.family != unix.AF_UNIX {
				continue
			}
			s.disconnect()
			if tries > 1 || s.family != unix.AF_UNIX {
				s.retry = now.Add(reconnectEvery)
				return err
			}
		}
	}
}

func (s *syslogSink) disconnect() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd) // nothing waits in a datagram socket
		s.fd = -1
	}
}

// Terminal implements sink.Sink.
func (s *syslogSink) Terminal() bool { return false }

// Close implements sink.Sink.
func (s *syslogSink) Close() error {
	s.disconnect()
	return nil
}
