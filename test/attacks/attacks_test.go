// Package attacks attacks the running server, each kind alone and all together, while a well-behaved client measures
// what it still gets. The kinds stand in one table (kinds), each with the number by which the server names it.
//
// CI runs the short form, which asserts what no load can break: every answer to the well-behaved client is right and
// none is refused, memory stays within its bound, the descriptors come back. `make attacks` runs the whole form, which
// also measures latency. The package imports of the project internal/testkit alone.
package attacks
