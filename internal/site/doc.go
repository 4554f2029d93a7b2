// Package site says which site answers a request, and what is to be done before and beside the file: the rules of
// paths, redirects, fields, and which files are tried.
//
// A [Router] has all sites of the process. Its handler goes through the steps of handler.serve, in their order, for
// each request; the last one is the site's [static.Site]. What depends on the host and the path alone is worked out
// once for each path and loop, and remembered (route).
//
// It imports conn, http1, internal/guard, internal/mediatype, internal/pattern and internal/static.
package site
