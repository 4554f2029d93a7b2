package daemon

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/quota"
)

const (
	// buffersPart is the part of the machine's memory that connections may hold: a quarter.
	buffersPart = 4
	// buffersMin is the memory that they may hold, in bytes, where it is not known how much the machine has.
	buffersMin = 64 << 20
	// restMax is what all else may take, in bytes, before Go collects: directories that are listed, what workers make,
	// stacks, and what is not in use any more.
	restMax = 48 << 20
)

// cacheMemory is the limit of the memory that the cache takes, in bytes.
func cacheMemory(cfg *config.Config) int64 { return quota.Share(cfg.Cache.Memory, quota.Memory(), 4) }

// buffers is the limit of the memory that connections hold, in bytes.
func buffers(cfg *config.Config) int64 {
	if cfg.Limits.Buffers > 0 {
		return cfg.Limits.Buffers
	}
	if limit := quota.Memory(); limit > 0 {
		return int64(min(limit, 1<<62) / buffersPart)
	}
	return buffersMin
}

// boundMemory has Go collect before the process takes more than its configuration says, unless GOMEMLIMIT says how
// much that is. Without it Go lets the heap grow to twice what is in use: in a container of 256 MiB a flood that fills
// the cache and comes to limits.buffers would have the kernel kill the process.
func boundMemory(cfg *config.Config, m *runningModel) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	// Each loop, and each thread of a model that has one a connection, receives into memory of its own.
	receivers := m.options.Loops
	if m.choice.Threads {
		receivers = m.options.Threads
	}
	received := int64(receivers) * 2 * int64(cfg.Limits.Head)
	debug.SetMemoryLimit(goMemory(quota.Memory(), buffers(cfg), cacheMemory(cfg), received))
}

// goMemory is the memory at which Go is to collect: what the parts may take together, in bytes, and no more than nine
// tenths of what there is (0: that is not known).
func goMemory(there uint64, parts ...int64) int64 {
	sum := int64(restMax)
	for _, part := range parts {
		sum += min(part, math.MaxInt64-sum)
	}
	if there > 0 {
		sum = min(sum, int64(min(there, math.MaxInt64)/10*9))
	}
	return sum
}
