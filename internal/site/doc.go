// Package site is what stands between a request and the files: which site and
// which rules answer it, and who may have the answer.
//
// It imports conn and http1, and bcrypt of golang.org/x/crypto.
package site
