package load

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]URL{
		"http://example":                  {Host: "example", Path: "/", name: "example", port: "80"},
		"http://[::1]:8080/a%20b?q=%2f#x": {Host: "[::1]:8080", Path: "/a%20b?q=%2f", name: "::1", port: "8080"},
		"http://1.2.3.4/?":                {Host: "1.2.3.4", Path: "/?", name: "1.2.3.4", port: "80"},
		"http://unix:/a/b.sock":           {Host: "localhost", Path: "/", socket: "/a/b.sock"},
		"http://unix:/a/b.sock:/c?d":      {Host: "localhost", Path: "/c?d", socket: "/a/b.sock"},
		"http://unix:@name:/":             {Host: "localhost", Path: "/", socket: "@name"},
	} {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		"":                    "want http://",
		"localhost:8080":      "want http://",
		"/a":                  "want http://",
		"http://":             "want http://",
		"http://a:0/":         "not a port",
		"http://a:65536/":     "not a port",
		"http://a:http/":      "want http://",
		"https://a/":          "TLS",
		"http://u:p@a/":       "Authorization",
		"http://unix:a.sock":  "http://unix:/SOCKET",
		"http://unix::/":      "http://unix:/SOCKET",
		"http://unix:/a:/%zz": "http://unix:/SOCKET",
	} {
		if _, err := ParseURL(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error with %q", text, err, says)
		}
	}
}

// TestFind: the listener at one address of a name is found whichever it is, though the name has ::1 too.
func TestFind(t *testing.T) {
	dialer := net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: bothFamilies}}
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", at)
		if err != nil {
			t.Log(err) // no IPv6 here
			continue
		}
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		u, err := ParseURL("http://both.example:" + port + "/")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := u.find(t.Context(), &dialer); err != nil || got != addrOf(listener) {
			t.Errorf("%v, %v, want %v", got, err, listener.Addr())
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		if got, err := u.find(t.Context(), &dialer); err == nil || !strings.Contains(err.Error(),
			"both.example:"+port) ||
			!strings.Contains(err.Error(), "refused") {
			t.Errorf("%v, %v, want that nobody takes a connection", got, err)
		}
	}
	gone := filepath.Join(t.TempDir(), "s")
	u, err := ParseURL("http://unix:" + gone)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Find(t.Context()); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("no socket there: %v", err)
	}
}

// bothFamilies is a connection to a name server that says ::1 and 127.0.0.1 for every name.
func bothFamilies(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		for {
			// As over TCP (RFC 1035 section 4.2.2), since a pipe is no net.PacketConn.
			var length [2]byte
			if _, err := io.ReadFull(server, length[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(server, query); err != nil {
				return
			}
			answer := dnsAnswer(query)
			if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))),
				answer...)); err != nil {
				return
			}
		}
	}()
	return client, nil
}

// dnsAnswer answers the one question of a query (RFC 1035 section 4.1).
func dnsAnswer(query []byte) []byte {
	const header, recordA, recordAAAA = 12, 1, 28
	end := header
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end++
	kind := binary.BigEndian.Uint16(query[end:])
	address := map[uint16]net.IP{recordA: net.IPv4(127, 0, 0, 1).To4(), recordAAAA: net.IPv6loopback}[kind]
	// The same identity and question; a response, authoritative; one answer and nothing else.
	answer := append([]byte{query[0], query[1], 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0}, query[header:end+4]...)
	answer = append(answer, 0xc0, header, query[end], query[end+1], 0, 1, 0, 0, 0, 60, 0, byte(len(address)))
	return append(answer, address...)
}
