package iomodel

// netpollModel is the model of cloudwego/netpoll: its level-triggered pollers
// (Options.Loops of them) read what comes into buffers of their own, and its
// goroutine pool runs the connection's turns, one at a time. An idle connection has no goroutine;
// one that waits for room or for work keeps it.
//
// Accepting is ours, since netpoll's server cannot stop accepting without closing
// who is idle. So is what is sent, by the descriptor: its Writer gives up when the client has
// closed its sending side, and waits for all to be sent at once.
//
// What this model cannot do: hold a client back. netpoll reads whatever is
// sent, wanted or not, so a client with more than 256 KiB of requests that
// were not taken yet is closed. Nor give a connection to another server, since what its
// pollers are reading cannot be asked: see ownedServer.immovable. Its pollers wait without a bound (golang/go#81759),
// and they are the process's: they stay when the server has ended.
func netpollModel() Model {
	return Model{
		Name:      "netpoll",
		Mechanism: "cloudwego/netpoll: level-triggered epoll or kqueue, and a goroutine pool",
		Probe:     probeNetpoll,
		New:       newNetpoll,
	}
}
