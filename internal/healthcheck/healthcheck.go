// Package healthcheck asks a server whether it answers, for what starts and stops containers.
//
// It imports internal/config for where to ask, and conn for the networks from which a PROXY header is expected.
package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/config"
)

// bodyMax bounds what is read of an answer's body, in bytes.
const bodyMax = 64 << 10

// Ask asks whether the server of that configuration answers. It returns the question and the answer's status in one
// line; an error has the question and what came of it. It is a *config.UnusableError if there is nothing to ask.
//
// If target is given, a URL or unix:PATH, it is asked, and cfg may be nil. Otherwise the question is GET /readyz at
// the first address of the control plane. Without a control plane it is OPTIONS * (RFC 9110 section 9.3.7) at the
// first address that the server listens on: no rule for a site or a path can refuse that.
func Ask(cfg *config.Config, target string, timeout time.Duration) (string, error) {
	q, err := questionFor(cfg, target)
	if err != nil {
		return "", &config.UnusableError{Err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return q.ask(ctx)
}

// question is one request to a server, and which answers are good ones.
type question struct {
	network, address string // where to connect; if the address is empty, where the URL says
	second           string // the address to try if nobody answers at the first; may be empty
	method           string
	url              *url.URL
	text             string // the question for people
	failure          int    // the lowest status that is no good answer
	// proxies are the networks from which the server expects a PROXY header (proxy_protocol). This connection has
	// one too if it comes from there.
	proxies conn.Networks
}

// questionFor decides what is asked where. To OPTIONS * a refusal (421, 429) is the answer of a server that works.
func questionFor(cfg *config.Config, target string) (*question, error) {
	path, isUnix := strings.CutPrefix(target, "unix:")
	switch {
	case isUnix && path != "":
		return questionTo("", config.Address{Unix: path}, http.MethodOptions, "*", 500)
	case target != "":
		u, err := url.Parse(target)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return nil, fmt.Errorf("%q: want an address like http://127.0.0.1:8080/path, or unix:PATH", target)
		}
		return &question{method: http.MethodGet, url: u, text: "GET " + target, failure: 400}, nil
	case len(cfg.Admin.Listen) > 0:
		return questionTo("admin.listen ", cfg.Admin.Listen[0], http.MethodGet, "/readyz", 300)
	}
	q, err := questionTo("listen ", cfg.Listen[0], http.MethodOptions, "*", 500)
	if err == nil {
		q.proxies = conn.NewNetworks(cfg.ProxyProtocol)
	}
	return q, err
}

// questionTo asks for a path at a listener, which stands in that key, as this machine reaches it.
func questionTo(key string, a config.Address, method, path string, failure int) (*question, error) {
	q := &question{
		network: "tcp", method: method, url: &url.URL{Scheme: "http", Host: "localhost", Path: path},
		text: fmt.Sprintf("%s %s at %s", method, path, a), failure: failure,
	}
	switch {
	case a.Unix != "":
		q.network, q.address = "unix", a.Unix
		return q, nil
	case a.Systemd != "":
		return nil, fmt.Errorf("%s%s: systemd knows where that is: give the URL to ask", key, a)
	case a.Port == 0:
		return nil, fmt.Errorf("%s%s: the kernel chose the port: give the URL to ask", key, a)
	}
	host, port := a.Host, strconv.Itoa(int(a.Port))
	ip, err := netip.ParseAddr(host)
	if every := err == nil && ip.IsUnspecified(); every || host == "" {
		host = "127.0.0.1"
		if !every || ip.Is6() { // the listener has both families, but this machine may have no IPv4
			q.second = net.JoinHostPort("::1", port)
		}
	}
	q.address = net.JoinHostPort(host, port)
	q.url.Host = q.address
	return q, nil
}

// connect makes a connection, and begins it as the server expects it from here: with a PROXY header that names no
// client.
func (q *question) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if q.address != "" {
		network, address = q.network, q.address
	}
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, network, address)
	if err != nil && q.second != "" {
		if second, secondErr := dialer.DialContext(ctx, network, q.second); secondErr == nil {
			nc, err = second, nil
		}
	}
	if err != nil {
		return nil, err
	}
	local, ok := nc.LocalAddr().(*net.TCPAddr)
	if ok && q.proxies.Contains(conn.AddrFrom(local.AddrPort())) {
		if _, err := io.WriteString(nc, "PROXY UNKNOWN\r\n"); err != nil {
			return nil, errors.Join(err, nc.Close())
		}
	}
	return nc, nil
}

// ask sends the question and says how it was answered.
func (q *question) ask(ctx context.Context) (string, error) {
	transport := &http.Transport{
		Proxy:             nil, // the server itself is asked, whatever the environment says
		DisableKeepAlives: true,
		DialContext:       q.connect,
	}
	defer transport.CloseIdleConnections()
	header := http.Header{"User-Agent": {"evhttpd healthcheck"}}
	req := (&http.Request{Method: q.method, URL: q.url, Header: header}).WithContext(ctx)
	res, err := transport.RoundTrip(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("no answer in time")
		}
		return "", fmt.Errorf("%s: %w", q.text, err)
	}
	// A body that breaks off is no good answer; one without end is cut here.
	_, err = io.CopyN(io.Discard, res.Body, bodyMax)
	if closeErr := res.Body.Close(); err == nil || errors.Is(err, io.EOF) {
		err = closeErr
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %s, then %w", q.text, res.Status, err)
	case res.StatusCode >= q.failure:
		return "", fmt.Errorf("%s: %s", q.text, res.Status)
	}
	return q.text + ": " + res.Status, nil
}
