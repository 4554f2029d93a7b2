package classic

// classics are the experiments, in the order in which they are listed.
var classics = []Classic{
	{
		Name:   "waits",
		Shows:  "What one wait costs against the number of descriptors watched, of which one is ready.",
		Source: "Kerrisk, The Linux Programming Interface, 2010, table 63-9.",
		Run:    runWaits,
	},
}
