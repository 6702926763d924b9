package lab

import "time"

// Experiments returns the experiments in the order in which they are listed.
func Experiments() []Experiment {
	const perConnection = "64 KiB for each connection"
	return []Experiment{
		{
			Name:     "buffer-all",
			Short:    "a server reads a whole file, then sends it (data += chunk)",
			Setup:    "Two servers send %s.",
			A:        naiveBufferAll,
			B:        weirFiles,
			Naive:    "reads the whole file into memory for each request (io.ReadAll), then sends it",
			Weir:     "weirhttp.Files sends what each client has room for",
			Stated:   perConnection,
			Settings: Settings{Clients: 10, Size: 32 << 20, Rate: 8 << 20, For: 12 * time.Second},
			read:     "read from the file", sent: "taken by clients",
			load: loadDownload, node: []script{nodeBufferAll, nodePipe},
		},
		{
			Name:     "ignore-write-result",
			Short:    "a server reads on while slow clients do not take its data",
			Setup:    "Two servers send %s.",
			A:        naiveIgnoreWriteResult,
			B:        weirFiles,
			Naive:    "reads on, and queues what the client has not taken",
			Weir:     "weirhttp.Files sends what each client has room for",
			Stated:   perConnection,
			Settings: Settings{Clients: 10, Size: 64 << 20, Rate: 1 << 20, For: 10 * time.Second},
			read:     "read from the file", sent: "taken by clients",
			load: loadDownload, node: []script{nodeIgnoreWriteResult, nodePipe},
		},
		{
			Name:     "upload",
			Short:    "a server takes uploads faster than its disk does",
			Setup:    "Two servers take %s.",
			A:        naiveUpload,
			B:        weirUpload,
			Naive:    "reads on, and queues what the disk has not taken",
			Weir:     "a flow from weirhttp.Body to the disk holds the clients back",
			Stated:   "the pipes of each upload",
			Settings: Settings{Clients: 4, Size: 128 << 20, Rate: 16 << 20, For: 8 * time.Second},
			read:     "read from clients", sent: "taken by the disk",
			load: loadUpload, node: []script{nodeUploadUnchecked, nodeUpload},
		},
		{
			Name:     "transform",
			Short:    "one item becomes a thousand, and the consumer is slow",
			Setup:    "Two programs make a thousand records of each item: %s.",
			A:        naiveTransform,
			B:        weirTransform,
			Naive:    "pushes the thousand records of every item at once",
			Weir:     "weir.FlatMap waits in emit while the pipe behind it is full",
			Stated:   "one pipe, and the records in the hands of stages",
			Settings: Settings{Size: 512 << 20, Rate: 16 << 20, For: 8 * time.Second},
			read:     "made", sent: "taken by the consumer",
			node: []script{nodePush, nodePushPipeline},
		},
		{
			Name:     "fan-out",
			Short:    "three readers of one stream, one of which is slow",
			Setup:    "Two programs give one stream to three readers, one of them slow: %s.",
			A:        naiveFanOut,
			B:        weirFanOut,
			Naive:    "has an unbounded queue for each reader",
			Weir:     "weir.Tee lets the slowest reader govern (other branches may drop or disconnect)",
			Stated:   "three pipes",
			Settings: Settings{Size: 512 << 20, Rate: 16 << 20, For: 8 * time.Second},
			read:     "read from the source", sent: "taken by the slow reader",
			noNode: "the tutorial has no code for it",
		},
		{
			Name:     "abort",
			Short:    "clients leave in mid-download; open descriptors are counted",
			Setup:    "Two servers send %s, which all leave after 256 KiB.",
			A:        naiveAbort,
			B:        weirFiles,
			Naive:    "leaves the file open, and its reader waiting, when a client leaves",
			Weir:     "weirhttp.Files closes what it has opened",
			Stated:   perConnection,
			Settings: Settings{Clients: 500, Size: 64 << 20, Rate: 64 << 20, For: 8 * time.Second},
			read:     "read from the file", sent: "taken by clients",
			load: loadAbort, node: []script{nodePipe, nodePipeDestroy},
		},
		{
			Name:     "clients",
			Short:    "10 and 1,000 slow readers: is it 64 KB a connection?",
			Setup:    "Two servers send %s.",
			A:        naiveIgnoreWriteResult,
			B:        weirFiles,
			Naive:    "reads on, and queues what the client has not taken",
			Weir:     "weirhttp.Files sends what each client has room for",
			Stated:   perConnection,
			Settings: Settings{Clients: 1000, Size: 1 << 20, Rate: 64 << 10, For: 8 * time.Second},
			Rounds:   []int{10, 1000},
			read:     "read from the file", sent: "taken by clients",
			load: loadDownload, node: []script{nodeIgnoreWriteResult, nodePipe},
		},
	}
}

// Find returns the experiment of the list that has this name.
func Find(list []Experiment, name string) (Experiment, bool) {
	for _, e := range list {
		if e.Name == name {
			return e, true
		}
	}
	return Experiment{}, false
}
