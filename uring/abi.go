//go:build linux

package uring

// SQE is one request (struct io_uring_sqe). The Prepare functions fill it.
type SQE struct {
	Opcode      uint8
	Flags       uint8 // Flag...
	Ioprio      uint16
	FD          int32
	Off         uint64 // or the second address
	Addr        uint64
	Len         uint32
	OpFlags     uint32 // those of the operation: msg_flags, poll_events, cancel_flags, ...
	UserData    uint64
	BufIndex    uint16 // the group of provided buffers
	Personality uint16
	FileIndex   uint32
	Addr3       uint64
	_           uint64
}

// CQE is one completion (struct io_uring_cqe).
type CQE struct {
	UserData uint64
	Res      int32 // what the system call would return; an error as its negative number
	Flags    uint32
}

// Flags of a request (IOSQE_...).
const (
	flagBufferGroup = 1 << 5
	// FlagSkipSuccess: only a failure is reported. A short transfer that was to
	// be whole (MSG_WAITALL) is one.
	FlagSkipSuccess = 1 << 6
)

// Flags of a completion (IORING_CQE_F_...).
const (
	CompletionBuffer   = 1 << 0 // CQE.Buffer is valid
	CompletionMore     = 1 << 1 // the request will report more
	CompletionNonEmpty = 1 << 2 // there was more to be received
)

// Buffer is the number of the provided buffer that was used (IORING_CQE_BUFFER_SHIFT).
func (c *CQE) Buffer() uint16 { return uint16(c.Flags >> 16) }

// Operations (enum io_uring_op).
const (
	opNop         = 0
	opPollAdd     = 6
	opAccept      = 13
	opAsyncCancel = 14
	opSend        = 26
	opRecv        = 27
)

// What io_uring_setup(2) is asked for, and what it answers.
const (
	setupCQSize       = 1 << 3
	setupDisabled     = 1 << 6
	setupSubmitAll    = 1 << 7
	setupCoopTaskrun  = 1 << 8
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13

	featureSingleMmap = 1 << 0
	featureNoDrop     = 1 << 1
	featureExtArg     = 1 << 8
	featureCQESkip    = 1 << 11
	// featuresNeeded are all older than IORING_SETUP_DEFER_TASKRUN (6.1).
	featuresNeeded = featureSingleMmap | featureNoDrop | featureExtArg | featureCQESkip

	offsetRings = 0
	offsetSQEs  = 0x10000000

	sqCQOverflow = 1 << 1 // in the submission ring's flags
)

// Flags of io_uring_enter(2).
const (
	enterGetEvents      = 1 << 0
	enterExtArg         = 1 << 3
	enterRegisteredRing = 1 << 4
)

// Operations of io_uring_register(2).
const (
	registerEnableRings = 12
	registerRingFDs     = 20
	unregisterRingFDs   = 21
	registerBufferRing  = 22
)

const (
	pollAddMulti    = 1 << 0 // in Len
	acceptMultishot = 1 << 0 // in Ioprio
	recvPollFirst   = 1 << 0 // in Ioprio
	cancelAll       = 1 << 0 // in OpFlags
	cancelAny       = 1 << 2 // in OpFlags
)

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries uint32
	flags                uint32
	sqThreadCPU          uint32
	sqThreadIdle         uint32
	features             uint32
	wqFD                 uint32
	_                    [3]uint32
	sq                   struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		userAddr                                                    uint64
	}
	cq struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		userAddr                                                    uint64
	}
}

// waitArg is struct io_uring_getevents_arg with the time it points to behind it.
type waitArg struct {
	sigmask     uint64
	sigmaskSize uint32
	minWait     uint32
	timespec    uint64 // the address of sec
	sec, nsec   int64  // struct __kernel_timespec
}

// waitArgSize is the size of the argument alone.
const waitArgSize = 24

// bufferReg is struct io_uring_buf_reg.
type bufferReg struct {
	ringAddr    uint64
	ringEntries uint32
	group       uint16
	flags       uint16
	_           [3]uint64
}

// buffer is struct io_uring_buf. The first one's last field is the ring's tail.
type buffer struct {
	addr uint64
	len  uint32
	id   uint16
	tail uint16
}

// rsrcUpdate is struct io_uring_rsrc_update.
type rsrcUpdate struct {
	offset uint32
	_      uint32
	data   uint64
}
