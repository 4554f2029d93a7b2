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
	r := Role{Addr: addr, CloseEach: true}
	t.Status, t.Length, t.Body = 0, AnyLength, nil
	asked := t
	if err := r.checkTarget(&asked); err != nil {
		return t, nil, fmt.Errorf("load: %w", err)
	}
	l := learner{target: &asked}
	err := l.ask(ctx, addr)
	if err != nil {
		return t, nil, fmt.Errorf("load: asking %v for %s: %w", addr, asked.Path, err)
	}
	t.Status, t.Length = l.head.status, l.length
	switch {
	case asked.toHead():
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
	target *Target
	head   head
	fields textproto.MIMEHeader
	length int64  // of the content
	body   []byte // its first bytes, a few more than learnMax at most
}

func (l *learner) ask(ctx context.Context, addr Addr) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, learnTime, fmt.Errorf("there was no whole answer within %v",
		learnTime))
	defer cancel()
	network, address := addr.dialed()
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	// A deadline in the past ends the reads and writes of a context that has ended.
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(l.target.request); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, headMax)
	if err = l.receiveHead(in); err == nil {
		err = l.receiveContent(in)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// receiveHead holds the final response's head against what a run takes, and leaves it to be read.
func (l *learner) receiveHead(in *bufio.Reader) error {
	for {
		_, err := in.Peek(in.Buffered() + 1)
		got, _ := in.Peek(in.Buffered()) // it is there
		length, invalid := parseHead(got, l.target.toHead(), &l.head)
		switch {
		case invalid != nil:
			return invalid
		case length > 0 && l.head.status >= 200:
			return nil
		case length > 0: // an interim response
			_, err = in.Discard(length)
		}
		if err != nil {
			return fmt.Errorf("the head, after %d bytes: %w", len(got), err)
		}
	}
}

// receiveContent reads the whole response, the head once more.
func (l *learner) receiveContent(in *bufio.Reader) error {
	r, err := http.ReadResponse(in, &http.Request{Method: l.target.Method})
	if err != nil {
		return err
	}
	l.fields = textproto.MIMEHeader(r.Header)
	if l.head.framing == byLength && l.head.length > learnMax {
		l.length = l.head.length
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, learnMax+1))
	l.body, l.length = body, int64(len(body))
	if err == nil && l.length > learnMax {
		var rest int64
		rest, err = io.Copy(io.Discard, r.Body)
		l.length += rest
	}
	if err != nil {
		return fmt.Errorf("the content, after %d bytes: %w", l.length, err)
	}
	if in.Buffered() > 0 {
		return errUninvited
	}
	return nil
}
