// Package quota says how much of the machine this process may take: its control groups and the kernel's settings. It
// imports nothing of this project.
package quota

// Memory is the least of what bounds this process's memory, in bytes: its control groups,
// of version 1 or 2, and the machine's memory. 0: it cannot be told.
func Memory() uint64 {
	limit := machine()
	if group := groupMemory(); group > 0 && (limit == 0 || group < limit) {
		limit = group
	}
	return limit
}
