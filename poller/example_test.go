//go:build unix

package poller_test

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/poller"
)

// An echo server over the platform's preferred mechanism: one loop, one client.
func Example() {
	p, err := poller.Backends()[0].Open(poller.Options{Trigger: poller.Level})
	if err != nil {
		panic(err)
	}
	defer p.Close()

	// A pair of connected sockets stands for a connection that was accepted.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	client, server := pair[0], pair[1]
	unix.SetNonblock(server, true)
	p.Add(server, poller.Token(1), poller.Readable, 0)
	unix.Write(client, []byte("hello"))

	events, buffer := make([]poller.Event, 64), make([]byte, 4096)
	for echoed := false; !echoed; {
		n, err := p.Wait(events, -1)
		if err != nil {
			panic(err)
		}
		for range events[:n] { // a real server finds its connection by the Token
			if n, err := unix.Read(server, buffer); err == nil {
				unix.Write(server, buffer[:n])
				echoed = true
			}
		}
	}
	n, _ := unix.Read(client, buffer)
	fmt.Printf("%s\n", buffer[:n])
	p.Remove(server)
	unix.Close(client)
	unix.Close(server)
	// Output: hello
}
