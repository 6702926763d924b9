// Package compress has stages that compress and decompress bytes: gzip, zlib,
// deflate, zstd and s2. Zstd and s2 use github.com/klauspost/compress.
//
//	weir.File("access.log").Through(compress.Gzip()).To(weir.Create("access.log.gz"))
//
// The encoders of gzip, zlib, deflate and zstd use all cores unless [Workers]
// says otherwise: they cut the input into blocks, compress these concurrently,
// and join them in order. The output is an ordinary file of its format; gzip
// output is one member, which every client can read. A block is passed on only
// when it is full or the input has ended, so the data of a slow input arrives
// late.
//
// Decoders read everything that the ordinary tools read, including several
// members or frames one after the other:
//
//	weir.File("dump.gz").Through(compress.Gunzip(compress.MaxOutput(1<<30)), compress.Zstd(compress.Level(9)))
//
// They use one core, with one exception: [Gunzip] decompresses two kinds of
// files on all cores. These are files of independent blocks, as [Gzip] and pigz
// -i write them, and files whose members record their sizes, as [Members] and
// bgzip(1) write them. Gunzip reserves memory for that; with one worker it
// holds much less.
//
// Damaged input is a [*CorruptError] with the offset; it matches
// [io.ErrUnexpectedEOF] if the input ends too early. [MaxOutput] and [MaxRatio]
// stop a decompression bomb with [ErrTooLarge], after at most the maximum has
// been passed on. The memory of a stage, including windows and blocks, is part
// of the ceiling of its flow. Therefore a decoder refuses a zstd frame that
// needs a larger window than [MaxWindow].
//
// The package keeps encoders and decoders between flows, so that short flows do
// not allocate new ones. One stage can be used in several flows, also at the
// same time.
package compress
