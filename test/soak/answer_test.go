package soak

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// answer is what came, as it stands in the head, and the body.
type answer struct {
	status       int
	tag          string // the ETag
	modified     int64  // Last-Modified, in seconds since 1970; 0: there is none
	length       int64  // Content-Length; -1: there is none
	contentRange string
	contentType  string
	coding       string
	close        bool
	body         []byte // a part of the reader's buffer
	received     time.Duration
}

// errNothing says that a connection ended before the first byte of an answer.
var errNothing = errors.New("the connection ended without an answer")

// bodyMax is the size of the largest body, in bytes.
const bodyMax = 8 << 20

// reader reads the answers of one connection after another.
type reader struct {
	in   *bufio.Reader
	body []byte
	// pace is called for each part of a body; nil: read as fast as it comes.
	pace func()
}

// head reads the head of an answer.
func (r *reader) head() (a answer, err error) {
	a.length = -1
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		if len(line) == 0 {
			return a, fmt.Errorf("%w: %w", errNothing, err)
		}
		return a, fmt.Errorf("in the status line %q: %w", line, err)
	}
	if len(line) < 13 || string(line[:9]) != "HTTP/1.1 " {
		return a, fmt.Errorf("a status line %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	for {
		line, err := r.in.ReadSlice('\n')
		if err != nil {
			return a, fmt.Errorf("in the head: %w", err)
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return a, nil
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		if err := a.field(string(name), string(value)); err != nil {
			return a, err
		}
	}
}

func (a *answer) field(name, value string) (err error) {
	switch name {
	case "ETag":
		a.tag = value
	case "Last-Modified":
		var at time.Time
		at, err = http.ParseTime(value)
		a.modified = at.Unix()
	case "Content-Length":
		a.length, err = strconv.ParseInt(value, 10, 64)
	case "Content-Range":
		a.contentRange = value
	case "Content-Type":
		a.contentType = value
	case "Content-Encoding":
		a.coding = value
	case "Connection":
		a.close = value == "close"
	case "Transfer-Encoding":
		err = fmt.Errorf("Transfer-Encoding: %s", value)
	}
	return err
}

// hasBody reports whether a body follows the head.
func (a *answer) hasBody(q *request) bool { return !q.head && a.status != 304 && a.status != 204 }

// readBody reads the body, which is short if there is an error.
func (r *reader) readBody(a *answer) error {
	if a.length < 0 || a.length > bodyMax {
		return fmt.Errorf("Content-Length %d", a.length)
	}
	if int64(len(r.body)) < a.length {
		r.body = make([]byte, max(64<<10, a.length))
	}
	a.body = r.body[:0]
	for int64(len(a.body)) < a.length {
		part := r.body[len(a.body):a.length]
		if r.pace != nil {
			part = part[:min(len(part), 32<<10)]
			r.pace()
		}
		n, err := io.ReadFull(r.in, part)
		a.body = r.body[:len(a.body)+n]
		if err != nil {
			return err
		}
	}
	return nil
}
