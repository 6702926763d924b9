// Package s3 reads and writes objects in stores that speak the S3 protocol: as
// sources and sinks of bytes, and whole folders with [Copy].
//
//	in, err := endpoint.Source("s3://bucket/access.log", endpoint.SourceOptions{})
//	…
//	out, err := endpoint.Sink("s3://bucket/access.log.gz", endpoint.SinkOptions{})
//	…
//	err = in.Stream().Through(compress.Gzip()).To(out).Run(ctx)
//
// Importing the package registers the scheme s3 with package endpoint. [Store]
// opens the same URLs with settings of the program's own.
//
// # Where the store is, and who asks
//
// Endpoint, region and credentials come from, in this order: the query of the
// URL (?endpoint=http://host:9000, ?region=, ?profile=), the fields of Store,
// the environment variables that all tools for S3 read (AWS_ENDPOINT_URL_S3,
// AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE), the files
// ~/.aws/credentials and ~/.aws/config (or those that
// AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name), and at last the roles
// of containers and machines. ?anonymous=true sends unsigned requests, for
// public buckets. A URL holds no password.
//
// Stores other than that of Amazon are asked path-style: http://host/bucket/key.
//
// # Downloads
//
// A download first asks for the object's length, ETag and checksum. Every
// request after that names this ETag, so that parts of two versions are never
// joined ([endpoint.ErrChanged]). Large objects are read in several ranges at a
// time, each into memory that the source declares; ?parallel=1 reads in one.
// When a connection breaks, the rest is asked for again. The bytes are compared
// with the length and with the store's checksum of the whole object, or with
// an ETag that is its MD5, where the store has one of them.
//
// # Uploads
//
// An object is whole or absent. What fits into one part is sent by one request
// at the end of the stream. Anything longer is a multipart upload: its parts
// come from a fixed number of buffers, which the sink declares, and it is
// completed only after the whole flow has succeeded. After a failure the upload
// is aborted. A process that was killed leaves its parts invisible; the next
// upload to the same key removes those that are older than a day. A lost answer
// to the last request is settled by looking at the object, which carries a mark
// of its upload.
//
// A part is 8 MiB and 23 KiB, or more if the length is known and does not fit into
// 9,000 of them. At most 10,000 parts make an object, so a stream of unknown
// length can be 78 GiB long; ?part-size=64MiB allows more.
//
// # Retries
//
// Requests are repeated, with growing waits, when the connection breaks, when
// the store is overloaded (503, 429) or fails (500, 502, 504), and never after
// another refusal.
package s3
