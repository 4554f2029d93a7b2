package iomodel

import (
	"github.com/evhttpd/evhttpd/poller"
)

// ringLink is a connection as the ring sees it.
type ringLink struct {
	token poller.Token // 0: there is none
	fd    int32

	// What has been received and not taken: a part of a provided buffer, or of
	// a copy of it (then buffer is -1).
	buffer int32
	data   []byte
	kept   int   // bytes of the copy
	err    error // the socket is broken

	// What Send has taken and the kernel may not have, in the outbox: queued,
	// in its arena, or sending, in a piece of its own.
	out   []byte
	piece int32

	fresh     bool // its first turn: system calls are made directly
	reading   bool // it waits for bytes
	receiving bool // an opRecv is out, or waits for a buffer
	detaching bool // and is being cancelled, for another server to go on
	more      bool // there was more to be received than data
	eof       bool
	queued    bool // an opSend is to be submitted
	awaited   bool // it is to be reported when nothing is queued any more
	sending   bool // an opRest is out
	polling   bool // an opPoll is out
}

// pending reports whether there is something to be received at once.
func (k *ringLink) pending() bool { return len(k.data) > 0 || k.eof || k.err != nil }

// linksChunk is how many links are allocated at a time, as slots are.
const linksChunk = 128

// ringLinks holds the link of each connection, by the index in its token. They never move.
type ringLinks struct {
	chunks []*[linksChunk]ringLink
}

// at returns the link of that index, the last connection's or an empty one.
func (b *ringLinks) at(token poller.Token) *ringLink {
	index := uint32(token)
	for int(index/linksChunk) >= len(b.chunks) {
		b.chunks = append(b.chunks, new([linksChunk]ringLink))
	}
	return &b.chunks[index/linksChunk][index%linksChunk]
}

// begin returns the connection's link, which is a new one if the token is.
func (b *ringLinks) begin(token poller.Token, fd int) *ringLink {
	k := b.at(token)
	if k.token != token {
		*k = ringLink{token: token, fd: int32(fd), buffer: -1, piece: -1, fresh: true}
	}
	return k
}

// lookup returns the connection's link, nil if it is gone.
func (b *ringLinks) lookup(token poller.Token) *ringLink {
	if int(uint32(token)/linksChunk) >= len(b.chunks) {
		return nil
	}
	if k := b.at(token); k.token == token {
		return k
	}
	return nil
}

// drop forgets a connection.
func (b *ringLinks) drop(k *ringLink) { *k = ringLink{} }
