// Package nats has bounded, ordered, durable edges between machines: streams of
// bytes that a producer writes and a consumer reads through NATS JetStream. Either
// of them, and the server, can be killed and started again.
//
//	edge, err := nats.Parse("nats://host/logs?max=1GiB")
//	…
//	err = durable.Flow(file, edge.Sink(), durable.Options{}).Run(ctx) // here
//	err = durable.Flow(edge.Source(), file, durable.Options{}).Run(ctx) // there
//
// Importing the package registers the schemes nats and tls with package endpoint,
// for flows that do not resume.
//
// # URLs
//
// An edge is nats://[user:password@]host[:port]/NAME, or tls://… to insist on TLS.
// The port is 4222 by default. ?max=1GiB is the most that the server holds (64 MiB
// or more; 1 GiB by default), and ?stall=5m is how long the server can be away
// (1m by default, 0 means forever). Only the producer that creates the edge sets
// max. Later, max must be the same, or absent.
//
// Credentials can also come from the variables that the nats command reads:
// NATS_CREDS, NATS_NKEY, NATS_USER, NATS_PASSWORD, NATS_CA, NATS_CERT and
// NATS_KEY. NATS_USER without NATS_PASSWORD is a token. Those in the URL take
// precedence.
//
// # The stream
//
// Each edge is one stream of JetStream, with one subject, weir.edge.NAME, file
// storage, a limit in bytes, and the policy to refuse new messages when it is
// full. The package refuses streams with other settings and servers older than
// 2.14.
//
// The bytes travel in frames of up to 256 KiB. A frame carries its offset, its
// CRC, the CRC of everything before it, and the latest checkpoint of the producer.
// The last frame marks the end. The server stores a frame only if it follows the
// last frame that its producer knows of. So a producer that continues reads the
// last frame to learn what is stored, and an older producer that still runs is
// refused: it ends with an error that matches [durable.ErrInUse]. In the same way
// the newest consumer takes over from an older one.
//
// # What is promised
//
// A frame that the server acknowledged arrives once and in order, or the consumer
// fails with an error: it checks order, offsets, CRCs and, at the end, the length
// and the sum. When the edge is full, the producer waits. The server frees the
// frames that the consumer has made durable, except the last one.
//
// By default a NATS server writes to disk every two minutes. So that an
// acknowledged frame survives a power cut, its configuration must have
//
//	jetstream { sync_interval: always }
//
// The client cannot see this setting. If a server has lost frames that the
// consumer has read, the consumer notices and fails. A cluster can lose frames
// even with this setting (nats-server issues 7545 and 7567).
//
// # Flows that do not resume
//
// The source and sink of package endpoint, which [weir] flows of any kind can use,
// do not continue. The sink refuses an edge that has a part of another stream.
// When it fails, the edge keeps the bytes that were sent, without an end mark. The
// source frees the bytes that it has read, so a consumer that fails after it has
// read more than 8 MiB loses the beginning; the next one fails instead of leaving
// it out.
//
// A source that waits for its edge holds up the other flows that it is joined
// with: let the producer open first, or run the two on their own.
//
// [weir]: https://pkg.go.dev/github.com/weir-go/weir
package nats
