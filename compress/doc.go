// Package compress has stages that compress and decompress bytes: gzip, zlib,
// deflate, zstd and s2, on github.com/klauspost/compress.
//
//	weir.File("access.log").Through(compress.Gzip()).To(weir.Create("access.log.gz"))
//
// Encoders use all cores unless [Workers] says otherwise: the input is cut into
// blocks that are compressed at the same time and joined in order. What comes
// out is an ordinary file of its format.
//
// Decoders read what the ordinary tools read, several members or frames one
// after the other included. Input that ends too early is an error that matches
// [io.ErrUnexpectedEOF]; what is broken is a [*CorruptError] with the offset.
// [MaxOutput] and [MaxRatio] stop a decompression bomb with [ErrTooLarge].
package compress
