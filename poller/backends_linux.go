package poller

// backends is what Linux has, in the order of preference.
var backends = []Backend{epollBackend, pollBackend, selectBackend, sigioBackend, spinBackend}
