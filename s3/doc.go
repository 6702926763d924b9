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
// opens the same URLs with settings that your program chooses.
//
// # Endpoint, region and credentials
//
// Endpoint, region and credentials come from, in this order: the query of the
// URL (?endpoint=http://host:9000, ?region=, ?profile=), the fields of Store,
// the environment variables that all tools for S3 read (AWS_ENDPOINT_URL_S3,
// AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE), the files
// ~/.aws/credentials and ~/.aws/config (or those that
// AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name), and finally the role
// of the container or machine. ?anonymous=true sends unsigned requests, for
// public buckets. A URL cannot contain credentials.
//
// Requests to stores other than Amazon's are path-style:
// http://host/bucket/key.
//
// # Downloads
//
// A download first asks for the object's length, ETag and checksum. Every later
// request names this ETag, so parts of two versions are never joined
// ([endpoint.ErrChanged]). If one request is slow, the source reads several ranges
// of a large object at a time, into memory that it declares; with ?parallel=4 it does so
// at once, and with ?parallel=1 never. When a
// connection breaks, it requests the rest again. It compares the bytes with the
// length and, if the store has one, with the checksum of the whole object, or
// with an ETag that is its MD5.
//
// # Uploads
//
// An object is whole or absent. A stream that fits into one part is sent in one request
// at its end. A longer stream is a multipart upload: its parts come from a bounded number
// of buffers, which the sink declares. With Reopen in [endpoint.SinkOptions] it reads
// the parts from the source again and needs no buffers. The sink completes the upload
// only after the whole flow has succeeded, and aborts it after a failure. If the store
// drops an exclusive upload because of a conflict with another writer, the sink sends
// it again, provided that it still has the bytes. A process that is killed can leave an
// unfinished upload in the store, invisible, with its parts or without any; the next
// upload to the same key removes it when it is older than a day. If the response to the
// last request is lost, the sink looks at the object, which carries a mark of its
// upload.
//
// There are two parts in memory at a time, and up to five if the store takes less than
// 50 MiB a second of each and each further one makes the upload faster. Of a file, four
// are sent at a time. A part in memory has 5 MiB and 23 KiB, one of a file 8 MiB and 23 KiB,
// or more if the length is known and does not fit into 9,000 such parts. An object can
// have 10,000 parts, so a stream of unknown length can be 49 GiB long; ?part-size=64MiB
// allows more.
//
// # Retries
//
// Requests are retried, with growing waits, if the connection breaks, or if the
// store is overloaded (503, 429) or fails (500, 502, 504). Other errors of the
// store are not retried.
package s3
