// Package memory says how much memory this process may take. It imports nothing of this project.
package memory

// Limit is the least of what bounds this process's memory, in bytes: its control groups,
// of version 1 or 2, and the machine's memory. 0: it cannot be told.
func Limit() uint64 {
	limit := machine()
	if group := group(); group > 0 && (limit == 0 || group < limit) {
		limit = group
	}
	return limit
}
