package socket

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPeerOfResetConnection: a connection that was reset after it had been accepted still has the address
// that accept4 gives, though getpeername has none (ENOTCONN).
func TestPeerOfResetConnection(t *testing.T) {
	for _, c := range []struct {
		name   string
		family int
	}{{"ipv4", unix.AF_INET}, {"ipv6", unix.AF_INET6}} {
		t.Run(c.name, func(t *testing.T) {
			var calls Calls
			calls.Init()
			listener, dial := listen(t, c.family)
			client := dial().(*net.TCPConn)
			want := client.LocalAddr().(*net.TCPAddr).AddrPort()
			await(t, listener, unix.POLLIN)
			fd, _, err := calls.Accept(listener, false)
			must(t, err)
			closing(t, fd)
			must(t, client.SetLinger(0)) // close resets
			must(t, client.Close())
			await(t, fd, unix.POLLERR)
			if _, err := unix.Getpeername(fd); err != unix.ENOTCONN {
				t.Fatalf("getpeername: %v, want ENOTCONN", err)
			}
			if from := calls.Peer(fd); from != want {
				t.Errorf("peer %v, want %v", from, want)
			}
		})
	}
}
