// Package model is what servers of every IO model have in common, whether they run loops or
// give each connection a thread: what they are made with and told, how a connection
// is handed from one to another, how they show that they are alive, and when accepting pauses.
//
// It imports conn, socket, workers and golang.org/x/sys.
package model
