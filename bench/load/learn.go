package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"time"
)

const (
	// learnMax is the longest content that Learn keeps, in bytes.
	learnMax = 64 << 20
	// learnTime bounds the one request of Learn, unless its context ends sooner.
	learnTime = 10 * time.Second
)

// Learn makes t's request once and returns t with the Status, Length and Body
// that came, for a server whose contents are not known beforehand, and the fields of the answer. Of content beyond
// 64 MiB, and of HEAD's, only the length is learnt.
func Learn(ctx context.Context, addr Addr, t Target) (Target, textproto.MIMEHeader, error) {
	r := role{Role: Role{Addr: addr, CloseEach: true}}
	t.Status, t.Length, t.Body = 0, AnyLength, nil
	if err := r.addTarget(&t); err != nil {
		return t, nil, fmt.Errorf("load: %w", err)
	}
	l := learner{target: &r.targets[0]}
	err := l.ask(ctx, addr)
	if err != nil {
		return t, nil, fmt.Errorf("load: asking %v for %s: %w", addr, l.target.path, err)
	}
	t.Status, t.Length = l.head.status, l.length
	switch {
	case l.target.toHead:
		t.Length = max(l.head.announced, 0)
	case l.length <= learnMax:
		t.Body = l.body
	}
	return t, l.fields, nil
}

// Keep leaves of what t expects only what another answer to the same request had too. It names what
// went, "content" or "length and content"; empty: nothing did.
func (t *Target) Keep(other Target) (went string) {
	switch {
	case t.Length != other.Length:
		went = "length and content"
		t.Length, t.Body = AnyLength, nil
	case !bytes.Equal(t.Body, other.Body):
		went = "content"
		t.Body = nil
	}
	return went
}

// learner reads one answer.
type learner struct {
	target *target
	head   head
	fields textproto.MIMEHeader
	length int64  // of the content
	body   []byte // its first learnMax bytes
}

func (l *learner) ask(ctx context.Context, addr Addr) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, learnTime, fmt.Errorf("there was no whole answer within %v",
		learnTime))
	defer cancel()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, addr.network(), addr.address())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	// A deadline in the past ends the reads and writes of a context that has ended.
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(l.target.request); err != nil {
		return err
	}
	head, err := l.receiveHead(c)
	if err == nil {
		err = l.receiveContent(bufio.NewReader(io.MultiReader(bytes.NewReader(head), c)))
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// receiveHead reads the final response's head, which it holds against what a run takes, and returns it with what came
// of the content.
func (l *learner) receiveHead(c io.Reader) ([]byte, error) {
	var got []byte
	part := make([]byte, 4096)
	for {
		n, err := c.Read(part)
		got = append(got, part[:n]...)
		for {
			length, invalid := parseHead(got, l.target.toHead, &l.head)
			if invalid != nil {
				return nil, invalid
			}
			if length == 0 {
				break
			}
			if l.head.status >= 200 {
				return got, nil
			}
			got = got[length:] // an interim response
		}
		if err != nil {
			return nil, fmt.Errorf("the head, after %d bytes: %w", len(got), err)
		}
	}
}

// receiveContent reads the whole response, the head once more.
func (l *learner) receiveContent(in *bufio.Reader) error {
	request := &http.Request{Method: http.MethodGet}
	if l.target.toHead {
		request.Method = http.MethodHead
	}
	r, err := http.ReadResponse(in, request)
	if err != nil {
		return err
	}
	l.fields, l.body = textproto.MIMEHeader(r.Header), []byte{}
	if l.head.framing == byLength && l.head.length > learnMax {
		l.length = l.head.length
		return nil
	}
	if err := l.keep(r.Body); err != nil {
		return fmt.Errorf("the content, after %d bytes: %w", l.length, err)
	}
	if in.Buffered() > 0 {
		return errUninvited
	}
	return nil
}

// keep reads all of the content that from has.
func (l *learner) keep(from io.Reader) error {
	part := make([]byte, 32<<10)
	for {
		n, err := from.Read(part)
		l.length += int64(n)
		if l.length <= learnMax {
			l.body = append(l.body, part[:n]...)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
