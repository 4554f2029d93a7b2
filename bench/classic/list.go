package classic

// classics are the experiments, in the order in which they are listed.
var classics = []Classic{
	{
		Name:   "waits",
		Shows:  "What one wait costs against the number of descriptors watched, of which one is ready.",
		Source: "Kerrisk, The Linux Programming Interface, 2010, table 63-9.",
		Run:    runWaits,
	},
	{
		Name:   "pipes",
		Shows:  "What a chain of events costs against the number of pipes watched, of which few are active.",
		Source: "Provos and Libenzi, libevent's test/bench.c, 2003.",
		Run:    runPipes,
	},
	{
		Name:   "rates",
		Shows:  "What the server answers, and how fast, against the rate of requests, without and with 10,000 idle connections.",
		Source: "Gammo, Brecht, Shukla, Pariag, Comparing and Evaluating epoll, select, and poll Event Mechanisms, OLS 2004.",
		Run:    runRates,
	},
	{
		Name:   "cold",
		Shows:  "Small cached requests beside large files that are not in memory, with workers and without.",
		Source: coldSource,
		Models: true,
		Run:    runCold,
	},
	{
		Name:   "accept",
		Shows:  "Connections of one request by how they are accepted: by one loop or two, over shared sockets or not, few at a time or all.",
		Source: acceptSource,
		Run:    runAccept,
	},
	{
		Name:   "idle",
		Shows:  "Memory and CPU of connections that do nothing, and which limit comes first.",
		Source: idleSource,
		Models: true,
		Run:    runIdle,
	},
	{
		Name:   "price",
		Shows:  "What a request would cost without its access line, metrics, fairness, fresh answers, strict parsing and counting.",
		Source: priceSource,
		Run:    runPrice,
	},
}
