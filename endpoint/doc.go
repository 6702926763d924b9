// Package endpoint turns a name into a source or a sink of bytes: a path, "-"
// for standard input and output, a file:// URL, an http:// or https:// URL, or
// a URL of any scheme that was registered.
//
//	in, err := endpoint.Source("https://example.org/big.iso", endpoint.SourceOptions{})
//	…
//	out, err := endpoint.Sink("big.iso", endpoint.SinkOptions{})
//	…
//	err = in.Stream().To(out).Run(ctx)
//
// Nothing opens before the flow runs or [Input.Stat] is called.
//
// # Downloads
//
// A download asks for the bytes as they are stored and passes them on
// unchanged. When the connection breaks, or nothing arrives for a while, it
// resumes where it stopped, if the server sent a strong validator: it requests
// the rest with Range and If-Range, so that two versions of a file are never
// joined ([ErrChanged]). It checks the length that the server announced and, if
// the server sent one, the digest of the file ([ErrDigest]). So a stream that
// ends without an error is complete, as far as the server's response shows.
//
// # Uploads
//
// An upload is a PUT. It asks the server first (Expect: 100-continue) and sends
// the body when the server agrees or has not answered for a second. So most
// refusals arrive before the flow reads the first byte. The upload has
// succeeded when the server reports success after the last byte. A flow that
// fails aborts the request, so that the server sees that the body is
// incomplete.
//
// # Names and passwords
//
// A user name and password in a URL are sent to the server but never printed.
// Errors show URLs without them and without the query, which often contains a
// signature.
package endpoint
