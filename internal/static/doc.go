// Package static turns a request's path into a file and the file into a
// response: resolution beneath a root, the cache, preconditions, ranges, media
// types and directory listings.
//
// A [Site] is one root with its rules. A [Cache] is shared by all sites of the
// process. Site.Handler makes the conn.Handler of one loop, which has a small
// index of its own in front of the cache, so that a cached answer takes no lock.
// Nothing that may block runs in Serve: a lookup is tried with what the kernel
// has in memory (openat2 with RESOLVE_CACHED, preadv2 with RWF_NOWAIT), and
// otherwise put off to the worker pool with conn.Output.Defer.
//
// It imports conn, http1, sendfile, internal/background, internal/listing,
// internal/mediatype and internal/pattern, golang.org/x/sys, and klauspost/compress.
package static
