// Package compress has stages that compress and decompress bytes: gzip, zlib,
// deflate, zstd and s2. Zstd and s2 are those of github.com/klauspost/compress.
//
//	weir.File("access.log").Through(compress.Gzip()).To(weir.Create("access.log.gz"))
//
// Encoders use all cores unless [Workers] says otherwise: the input is cut into
// blocks that are compressed at the same time and joined in order. What comes
// out is an ordinary file of its format: gzip is one member, which every client
// reads whole. A block is handed on when it is full or the input has ended, so
// a slow input is not visible at once.
//
// Decoders read what the ordinary tools read, several members or frames one
// after the other included:
//
//	weir.File("dump.gz").Through(compress.Gunzip(compress.MaxOutput(1<<30)), compress.Zstd(compress.Level(9)))
//
// They use one core, except [Gunzip] for files that can be cut: those of
// independent blocks, as [Gzip] and pigz -i write them, and those whose members
// record their sizes, as [Members] and bgzip(1) do. Gunzip decompresses these on
// all cores. It reserves the memory for that, so it holds much less with one
// worker.
//
// Input that ends too early is an error that matches [io.ErrUnexpectedEOF];
// what is broken is a [*CorruptError] with the offset. [MaxOutput] and
// [MaxRatio] stop a decompression bomb with [ErrTooLarge]; at most the maximum
// has been handed on by then. What a stage holds, windows and blocks included,
// is part of the ceiling of its flow, which is why a zstd frame that asks for
// a larger window than [MaxWindow] is refused.
//
// Encoders and decoders are kept between flows, so that short flows do not
// allocate new ones. Stages are values: they may be used in several flows, at
// the same time too.
package compress
