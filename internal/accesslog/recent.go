package accesslog

import (
	"net/netip"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// style is how a format writes a time and an address.
type style struct {
	time, zone    string // layouts, as package time has them: up to the milliseconds, if any, and behind them
	before, after string // what stands around an address
	none          string // in place of all three for a client at a Unix socket
}

// recent keeps the text of the last second and of the last client, which most lines share with the one before.
type recent struct {
	style    *style
	location *time.Location
	second   int64      // of stamp and zone, since 1970
	peer     netip.Addr // of address
	stamp    []byte
	zone     []byte
	address  []byte
}

func newRecent(s *style, location *time.Location) recent {
	if location == nil {
		location = time.Local
	}
	r := recent{style: s, location: location}
	r.setSecond(0)
	r.setPeer(netip.Addr{})
	return r
}

// update makes the text that of an answer.
func (r *recent) update(a *conn.Access) {
	if peer := a.Remote.AddrPort().Addr(); peer != r.peer {
		r.setPeer(peer)
	}
	if second := a.Wall / int64(time.Second); second != r.second {
		r.setSecond(second)
	}
}

func (r *recent) setPeer(peer netip.Addr) {
	r.peer = peer
	if !peer.IsValid() {
		r.address = append(r.address[:0], r.style.none...)
		return
	}
	r.address = append(peer.AppendTo(append(r.address[:0], r.style.before...)), r.style.after...)
}

func (r *recent) setSecond(second int64) {
	r.second = second
	at := time.Unix(second, 0).In(r.location)
	r.stamp = at.AppendFormat(r.stamp[:0], r.style.time)
	r.zone = at.AppendFormat(r.zone[:0], r.style.zone)
}

// sentBy returns what the client says of itself; nil for what is not there.
func sentBy(a *conn.Access) (referer, userAgent, host []byte) {
	if r := a.Req; r != nil {
		return r.Get(http1.FieldReferer, a.Buf), r.Get(http1.FieldUserAgent, a.Buf), r.Host.In(a.Buf)
	}
	return nil, nil, nil
}
