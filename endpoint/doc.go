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
// goes on where it stopped, if the server has given the file a strong
// validator: the rest is asked for with Range and If-Range, so that two
// versions of a file are never joined ([ErrChanged]). What arrives is held
// against the announced length and, if the server has sent one, against the
// digest of the file ([ErrDigest]). A stream that ends well is whole, as far as
// the server has told what whole means.
//
// # Uploads
//
// An upload is a PUT. Its body is sent only when the server has agreed to take
// it, or has said nothing for a second, so that a refusal comes before the
// first byte is read for it. It has succeeded when the server has said so after
// the last byte; a flow that fails aborts the request, and the server sees that
// the body is incomplete.
//
// # Names and passwords
//
// A user name and password in a URL are used, and never printed: errors show
// URLs without them and without their query, which often carries a signature.
package endpoint
