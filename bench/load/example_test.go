package load_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/evhttpd/evhttpd/bench/load"
)

// A thousand requests over eight connections, every answer compared with what it must be.
func ExampleRun() {
	content := []byte("hello, world\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(content) }))
	defer server.Close()
	addr := netip.MustParseAddrPort(server.Listener.Addr().(*net.TCPAddr).String())

	result, err := load.Run(context.Background(), load.Options{
		Duration: 10 * time.Second, // it ends earlier, with the last answer
		Roles: []load.Role{{
			Name: "hello", Addr: load.TCP(addr), Connections: 8, Requests: 1000,
			Targets: []load.Target{{Path: "/", Body: content}},
		}},
	})
	if err != nil {
		panic(err)
	}
	role := &result.Roles[0]
	fmt.Println(role.Completed, "answered,", role.Failed(), "failed")
	// Output: 1000 answered, 0 failed
}
