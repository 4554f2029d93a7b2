package conn

import (
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/proxyproto"
)

// takeHeader takes the PROXY header off the start of in, and has the connection
// be that client's which it names. It reports false if there is no request to go on with: more bytes are
// needed, or the connection is to end.
func (c *Conn) takeHeader(w *Workspace, in []byte) (rest []byte, ok bool) {
	source, size, bad := proxyproto.Parse(in)
	if size == 0 && bad == nil {
		return in, false
	}
	c.admission &^= awaitsProxyHeader
	client := AddrFrom(source)
	switch {
	case bad != nil:
		return c.reject(w, nil, proxyError(bad), in), false
	case client == Addr{}:
		// The proxy speaks for itself, as far as we know: it is no client.
		c.admission |= clientDecided
	default:
		c.remote = client
		c.admit(w)
	}
	return in[size:], !c.closing
}

// errProxyUnexpected is for a peer which sends a header though it is not in the networks of proxies.
var errProxyUnexpected = http1.Error{
	Status: 400,
	Rule:   "a PROXY protocol header from a network that has to begin without one",
	Source: "PROXY protocol section 2",
	Hint:   "see proxy_protocol",
}

// unexpected puts another error in the place of bad if the bytes that are no request are a PROXY header.
func (c *Conn) unexpected(bad *http1.Error, in []byte) *http1.Error {
	if c.requests == 0 && bad.Status == 400 && proxyproto.Begins(in) {
		return &errProxyUnexpected
	}
	return bad
}

// proxyError is the answer to a bad header. It goes to the proxy, or to a client which speaks without one.
func proxyError(e *proxyproto.Error) *http1.Error {
	bad := &http1.Error{Status: 400, Rule: e.Rule, At: e.At, Source: "PROXY protocol section " + e.Section}
	if e == proxyproto.ErrMissing {
		bad.Rule, bad.Hint = bad.Rule+", with which connections from this network begin", "see proxy_protocol"
	}
	return bad
}
