package config

// UnusableError is an error of what the operator wrote that is found only when it is put to use.
type UnusableError struct{ Err error }

// Error returns the text of the error within.
func (e *UnusableError) Error() string { return e.Err.Error() }

// Unwrap returns the error within.
func (e *UnusableError) Unwrap() error { return e.Err }
