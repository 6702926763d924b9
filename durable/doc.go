// Package durable runs flows that survive kill -9: a flow that was killed and
// is started again continues where its sink was durable, byte for byte.
//
// A flow is durable if its source can begin at an offset ([Source]), its stages
// can be continued at some places ([Stage]), and its sink stores checkpoints
// together with the data ([Sink]). An edge, such as a spool on disk or a stream of
// NATS, is the sink of one durable flow and the source of the next.
package durable
