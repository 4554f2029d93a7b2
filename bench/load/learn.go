package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

const (
	// learnMax is the longest content that Learn keeps, in bytes.
	learnMax = 64 << 20
	// learnTime bounds the one request of Learn, unless its context ends sooner.
	learnTime = 30 * time.Second
)

// Learn makes t's request once and returns t with the Status, Length and Body
// that came, for a server whose contents are not known beforehand. Of content beyond
// 64 MiB, and of HEAD's, only the length is learnt.
func Learn(ctx context.Context, addr netip.AddrPort, t Target) (Target, error) {
	r := role{Role: Role{Addr: addr, CloseEach: true}}
	t.Status, t.Length, t.Body = 0, AnyLength, nil
	if err := r.addTarget(&t); err != nil {
		return t, fmt.Errorf("load: %w", err)
	}
	err := r.learn(ctx, &t)
	if err != nil {
		err = fmt.Errorf("load: asking %v for %s: %w", addr, r.targets[0].path, errors.Join(err, context.Cause(ctx)))
	}
	return t, err
}

func (r *role) learn(ctx context.Context, t *Target) (err error) {
	ctx, cancel := context.WithTimeout(ctx, learnTime)
	defer cancel()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", r.Addr.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	// A deadline in the past ends the reads and writes of a context that has ended.
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(r.targets[0].request); err != nil {
		return err
	}
	var h head
	content, err := receiveHead(c, r.targets[0].toHead, &h)
	if err != nil {
		return err
	}
	t.Status, t.Length = h.status, max(h.announced, 0)
	if r.targets[0].toHead || h.length > learnMax {
		return nil
	}
	body := make([]byte, h.length)
	if int64(len(content)) > h.length {
		return errUninvited
	}
	if _, err := io.ReadFull(io.MultiReader(bytes.NewReader(content), c), body); err != nil {
		return fmt.Errorf("the content of %d bytes: %w", h.length, err)
	}
	t.Length, t.Body = h.length, body
	return nil
}

// receiveHead reads a head into h, and returns what came of the content with it.
func receiveHead(c net.Conn, toHead bool, h *head) ([]byte, error) {
	var buf bytes.Buffer
	part := make([]byte, 4096)
	for {
		n, err := c.Read(part)
		buf.Write(part[:n])
		if length, invalid := parseHead(buf.Bytes(), toHead, h); length > 0 || invalid != nil {
			return buf.Bytes()[length:], invalid
		}
		if err != nil {
			return nil, fmt.Errorf("the head, after %d bytes: %w", buf.Len(), err)
		}
	}
}
