package config

import _ "embed"

// Documented is the whole configuration with its defaults, in words: a file that says every key.
//
//go:embed evhttpd.yaml
var Documented string
