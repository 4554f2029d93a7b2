package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
)

// opening is the way from the listeners that there are to those that are configured.
type opening struct {
	cfg     *config.Config
	sockets int         // the number of sockets that an address is to have
	old     []*Listener // the listeners that there are
	all     []*Listener // the listeners that are kept, some with more sockets, and those that were opened
}

// Open returns a listener for each of the addresses. The sockets of old that are still wanted are kept, whatever they
// were opened for; others are opened. On an error the opened ones are closed again, and old is as it was.
func Open(cfg *config.Config, addresses []config.Address, sockets int, old []*Listener) ([]*Listener, error) {
	o := &opening{cfg: cfg, sockets: sockets, old: old}
	for i, a := range addresses {
		err := fmt.Errorf("listen %s: it is there twice: leave one out", a)
		if !slices.Contains(addresses[:i], a) {
			err = o.listen(a)
		}
		if err != nil {
			return nil, errors.Join(err, Close(o.all, old, true))
		}
	}
	return o.all, nil
}

// listen listens on one configured address; a name may stand for several.
func (o *opening) listen(a config.Address) error {
	key := a.String()
	n := len(o.all)
	if err := o.keep(key, func(l *Listener) bool { return l.key == key }); err != nil || len(o.all) > n {
		return err
	}
	switch {
	case a.Systemd != "":
		return fmt.Errorf("listen %s: systemd passed no socket of that name: the socket unit has it in "+
			"FileDescriptorName=, and the name of the unit if it has none (LISTEN_FDNAMES)", a)
	case a.Unix != "":
		return o.open(key, func(l *Listener) bool { return l.unix == a.Unix },
			func() (*Listener, error) { return listenUnix(o.cfg, a.Unix) })
	case isEvery(a.Host):
		err := o.openTCP(key, netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port))
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
			err = o.openTCP(key, netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port))
		}
		return err
	}
	return o.openHost(key, a)
}

// isEvery reports whether a host means every address, those of IPv4 included.
func isEvery(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.Is6() && ip.IsUnspecified()
}

// lookupMax is how long the name service may take to find the addresses of a host.
const lookupMax = 5 * time.Second

// addressesOf are the addresses that a host stands for: itself, or those of a name.
func addressesOf(a config.Address) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(a.Host); err == nil {
		if ip.Zone() != "" {
			n, err := zoneNumber(ip.Zone())
			if err != nil {
				return nil, fmt.Errorf("listen %s: %w", a, err)
			}
			ip = ip.WithZone(zoneName(n)) // as boundTo has it
		}
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupMax)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.Host)
	if err != nil {
		return nil, fmt.Errorf("listen %s: no address for the host %q: %w", a, a.Host, err)
	}
	return ips, nil
}

// openHost listens on every address of a host.
func (o *opening) openHost(key string, a config.Address) error {
	ips, err := addressesOf(a)
	if err != nil {
		return err
	}
	found := false
	var failed error
	for _, ip := range ips {
		err := o.openTCP(key, netip.AddrPortFrom(ip.Unmap(), a.Port))
		switch {
		case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EADDRNOTAVAIL) && len(ips) > 1:
			failed = err // localhost may name ::1 on a machine without IPv6
		case err != nil:
			return err
		default:
			found = true
			a.Port = o.all[len(o.all)-1].addr.Port() // one port for all addresses of a name
		}
	}
	if !found {
		return failed
	}
	return nil
}

func (o *opening) openTCP(key string, addr netip.AddrPort) error {
	return o.open(key, func(l *Listener) bool { return l.unix == "" && l.addr == addr },
		func() (*Listener, error) { return o.listenTCP(addr) })
}

// open keeps the listener of old that is meant, or opens a new one.
func (o *opening) open(key string, meant func(*Listener) bool, open func() (*Listener, error)) error {
	n := len(o.all)
	if err := o.keep(key, meant); err != nil || len(o.all) > n {
		return err
	}
	l, err := open()
	if err != nil {
		return err
	}
	l.key = key
	o.all = append(o.all, l)
	return nil
}

// keep keeps the listeners of old that are meant, unless they are kept for another address already.
func (o *opening) keep(key string, meant func(*Listener) bool) error {
	for _, l := range o.old {
		if !meant(l) || !l.reachable() || len(Gone([]*Listener{l}, o.all)) == 0 {
			continue
		}
		kept := *l
		kept.key, kept.sockets = key, slices.Clone(l.sockets)
		o.all = append(o.all, &kept)
		for SharesPorts() && l.unix == "" && !l.foreign && len(kept.sockets) < o.sockets {
			fd, err := socketTCP(o.cfg, l.addr, true)
			if err != nil {
				return listenError(l.addr, err)
			}
			kept.sockets = append(kept.sockets, fd)
		}
	}
	return nil
}

// ours reports whether a socket of ours has an address that overlaps with addr.
func (o *opening) ours(addr netip.AddrPort) bool {
	return slices.ContainsFunc(slices.Concat(o.old, o.all), func(l *Listener) bool {
		return l.unix == "" && !l.foreign && overlap(l.addr, addr)
	})
}
