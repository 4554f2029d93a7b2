package static

// warn tells the operator about a path.
func (t *tree) warn(msg, path string) {
	if t.tell.Warn != nil {
		t.tell.Warn(msg, path)
	}
}

// fail tells the operator that what is there cannot be served: the root is gone, its disk fails.
func (t *tree) fail(msg, path string) {
	if t.tell.Fail != nil {
		t.tell.Fail(msg, path)
	}
}
