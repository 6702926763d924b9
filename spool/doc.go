// Package spool is a buffer on disk, larger than memory, between the source and the
// sink of a flow.
//
// As a stage ([Bytes], [Items]) it lets the part of the flow before it run ahead of
// the part behind it, by as many bytes as it may hold, while memory stays small. When
// it is full, the writer waits. It is like a temporary file: nothing of it is left
// when the flow has ended, and the next run in the same folder removes the files of a
// killed process.
//
// As a [Log] it is the sink of one durable flow and the source of another: both
// continue after kill -9, and no byte is lost or repeated. See package durable.
//
// The folder belongs to the spool alone, and one process at a time can use it.
package spool
