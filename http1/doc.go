// Package http1 is HTTP/1.0 and HTTP/1.1 as bytes in and bytes out: it parses
// request heads and bodies and writes response heads and dates. It does no IO,
// has no clock and knows no connection.
//
// It follows RFC 9110 (semantics), RFC 9112 (HTTP/1.1) and RFC 3986 (URI), and
// where those leave a choice it takes the strict one: a message that two
// servers could read differently is refused, with the reason.
//
// Requests: [Parse] reads a head into a [Request], whose parts are spans of the buffer;
// [PeekMethod] tells the method of a head that is refused; [Body] consumes what follows;
// [AppendPath] decodes the path; [ParseRange], [MatchETag], [ParseDate], [CodingWeights] and
// [AcceptedIn] read the fields which choose an answer.
// Responses: [AppendStatusLine], [AppendField], [AppendInt], [AppendDate]. An [Error] explains a refusal.
// Nothing here allocates once the caller's slices have grown.
//
// It imports only pure packages of the standard library: no os, net, syscall or x/sys.
package http1
