package daemon

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

// healthReadMax bounds what is read of an answer's body, in bytes.
const healthReadMax = 64 << 10

// Healthcheck asks whether the server of that configuration answers, and
// returns how it did, in one line. It asks target, if that is given: a URL, or
// unix:PATH; then cfg may be nil. Otherwise it asks for /readyz where the control plane is, and without one
// OPTIONS * (RFC 9110 section 9.3.7) where the server listens first, which no site
// or path of it can refuse. The error says what was asked and what came of it; it
// is a *ConfigError if there is nothing to ask.
func Healthcheck(cfg *config.Config, target string, timeout time.Duration) (string, error) {
	check, err := healthTarget(cfg, target)
	if err != nil {
		return "", &ConfigError{err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return check.ask(ctx)
}

// healthCheck is one question to a server.
type healthCheck struct {
	network, address string // to connect to; empty: what the URL says
	second           string // address to connect to if nobody is at the first; empty: there is none
	method           string
	url              *url.URL
	what             string // the question for people
	okBelow          int    // the lowest status that is no good answer
	// proxies are whose connections have to begin with a PROXY header (proxy_protocol): this one too, if it comes from there.
	proxies conn.Networks
}

// healthTarget decides what is asked where.
func healthTarget(cfg *config.Config, target string) (*healthCheck, error) {
	switch {
	case target != "":
		return healthURL(target)
	case len(cfg.Admin.Listen) > 0:
		c, err := healthAddress(cfg.Admin.Listen[0])
		if err != nil {
			return nil, fmt.Errorf("admin.listen %w", err)
		}
		c.method, c.okBelow = http.MethodGet, 300
		c.url.Path = "/readyz"
		c.what = "GET /readyz at " + cfg.Admin.Listen[0].String()
		return c, nil
	}
	c, err := healthAddress(cfg.Listen[0])
	if err != nil {
		return nil, fmt.Errorf("listen %w", err)
	}
	// A refusal (421, 429) is the answer of a server that works.
	c.method, c.okBelow = http.MethodOptions, 500
	c.url.Opaque = "*"
	c.what = "OPTIONS * at " + cfg.Listen[0].String()
	c.proxies = conn.NewNetworks(cfg.ProxyProtocol)
	return c, nil
}

// healthURL asks for what the operator named.
func healthURL(target string) (*healthCheck, error) {
	if path, ok := strings.CutPrefix(target, "unix:"); ok && path != "" {
		c, err := healthAddress(config.Address{Unix: path})
		c.method, c.okBelow = http.MethodOptions, 500
		c.url.Opaque = "*"
		c.what = "OPTIONS * at " + target
		return c, err
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q: want an address like http://127.0.0.1:8080/path, or unix:PATH", target)
	}
	return &healthCheck{method: http.MethodGet, url: u, what: "GET " + target, okBelow: 400}, nil
}

// healthAddress is how this machine reaches a listener.
func healthAddress(a config.Address) (*healthCheck, error) {
	c := &healthCheck{network: "tcp", url: &url.URL{Scheme: "http", Host: "localhost"}}
	switch {
	case a.Unix != "":
		c.network, c.address = "unix", a.Unix
		return c, nil
	case a.Systemd != "":
		return nil, fmt.Errorf("%s: systemd knows where that is: give the URL to ask", a)
	case a.Port == 0:
		return nil, fmt.Errorf("%s: the kernel chose the port: give the URL to ask", a)
	}
	host, port := a.Host, strconv.Itoa(int(a.Port))
	ip, err := netip.ParseAddr(host)
	if every := err == nil && ip.IsUnspecified(); every || host == "" {
		host = "127.0.0.1"
		if !every || ip.Is6() { // of IPv6 and IPv4, but a machine may be without one of them
			c.second = net.JoinHostPort("::1", port)
		}
	}
	c.address = net.JoinHostPort(host, port)
	c.url.Host = c.address
	return c, nil
}

// introduce begins the connection as the server expects it from here: with a
// header that says nothing of who asks.
func (c *healthCheck) introduce(nc net.Conn) error {
	local, ok := nc.LocalAddr().(*net.TCPAddr)
	if !ok || !c.proxies.Contains(conn.AddrFrom(local.AddrPort())) {
		return nil
	}
	_, err := io.WriteString(nc, "PROXY UNKNOWN\r\n")
	return err
}

// dial connects to the first of the check's addresses where somebody is, or to the one that the URL says.
func (c *healthCheck) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.address != "" {
		network, address = c.network, c.address
	}
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil && c.second != "" {
		if second, failed := new(net.Dialer).DialContext(ctx, network, c.second); failed == nil {
			return second, nil
		}
	}
	return nc, err
}

// ask puts the question and says how it was answered.
func (c *healthCheck) ask(ctx context.Context) (string, error) {
	transport := &http.Transport{
		Proxy:             nil, // the server itself is asked, whatever the environment says
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := c.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if err := c.introduce(nc); err != nil {
				return nil, errors.Join(err, nc.Close())
			}
			return nc, nil
		},
	}
	defer transport.CloseIdleConnections()
	req := (&http.Request{Method: c.method, URL: c.url, Header: http.Header{"User-Agent": {"evhttpd healthcheck"}}}).WithContext(ctx)
	res, err := transport.RoundTrip(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("no answer in time")
		}
		return "", fmt.Errorf("%s: %w", c.what, err)
	}
	// A body that breaks off is no good answer; one without end is cut here.
	_, err = io.CopyN(io.Discard, res.Body, healthReadMax)
	if closing := res.Body.Close(); err == nil || errors.Is(err, io.EOF) {
		err = closing
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %s, then %w", c.what, res.Status, err)
	case res.StatusCode >= c.okBelow:
		return "", fmt.Errorf("%s: %s", c.what, res.Status)
	}
	return c.what + ": " + res.Status, nil
}
