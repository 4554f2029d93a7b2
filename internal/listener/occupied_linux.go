package listener

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stateListen is TCP_LISTEN in /proc/net/tcp.
const stateListen = "0A"

// occupied reports whether a socket that is not ours listens where addr would. It is for an address that overlaps
// with one of ours, for which the kernel does not tell: with SO_REUSEPORT it lets all sockets of a user have a port.
// Where /proc does not show such a socket, there is none. A socket at the unspecified address of IPv6 is taken to
// have that of IPv4 too, since the table does not say (IPV6_V6ONLY).
func occupied(addr netip.AddrPort, ours []*Listener) bool {
	known := make(map[string]bool)
	for _, l := range ours {
		for _, fd := range l.sockets {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) == nil {
				known[strconv.FormatUint(st.Ino, 10)] = true
			}
		}
	}
	return listensIn("/proc/self/net/tcp", addr, known) || listensIn("/proc/self/net/tcp6", addr, known)
}

// listensIn looks in one table (proc_pid_net(5)), which begins with the sockets that listen.
func listensIn(table string, addr netip.AddrPort, known map[string]bool) bool {
	f, err := os.Open(table)
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan() // the names of the columns
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != stateListen {
			break
		}
		if at, err := procAddr(fields[1]); err == nil && overlap(at, addr) && !known[fields[9]] {
			return true
		}
	}
	return false
}

// procAddr reads an address of /proc/net/tcp or tcp6: words of 32 bits in the machine's order, and a port.
func procAddr(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	b, badHex := hex.DecodeString(address)
	for i := 0; i+4 <= len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	ip, ok := netip.AddrFromSlice(b)
	n, badPort := strconv.ParseUint(port, 16, 16)
	if !ok || badHex != nil || badPort != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address of /proc/net/tcp", text)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}
