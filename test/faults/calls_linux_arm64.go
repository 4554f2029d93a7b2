package faults

// machineExceptions are those of calls that only this architecture has.
var machineExceptions []Exception
