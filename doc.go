// Package weir moves data from a source, through stages, into a sink, with
// memory that is bounded and stated before the run, and says where the flow is
// held back.
//
// # Streams, stages, flows
//
// A [Stream] describes values on their way: bytes, or any other type. It
// becomes a [Flow] when it meets its [Sink], and nothing opens or runs before
// [Flow.Run]:
//
//	err := weir.File("input.txt").Through(compress.Gzip()).To(weir.Create("input.txt.gz")).Run(ctx)
//
// Generic functions change the type of a stream, methods keep it:
//
//	orders := weir.Map(text.Lines(weir.File("orders.jsonl")), parseOrder, weir.Workers(8))
//	big := weir.Filter(orders, func(o Order) bool { return o.Total > 1000 })
//	for order, err := range big.All(ctx) { … }
//
// Values travel in batches. A batch is what is there: nothing waits to fill
// one unless it was asked to. Whoever gets a batch may neither change nor keep
// it, which is the rule of [io.Writer].
//
// # Backpressure
//
// Cheap stages are fused: they call each other, batch by batch, in one
// goroutine, a lane. Where overlap pays (around input and output, heavy codecs,
// parallel workers, and where [Stream.Async] asks for it) a lane ends in a
// pipe, a bounded buffer with a hard limit. A stage that hands on its output
// waits while the next pipe is full. That wait is the backpressure; it reaches
// the source by itself, and no producer can ignore it.
//
// [Flow.Ceiling] says, before anything opens, how much memory a flow can hold: a
// number of bytes, and how many values come on top, since a value exists before
// anybody can measure it. [Flow.MaxValue] limits their size, so that the ceiling
// is a number of bytes only. Stages whose values cannot be measured are named. A
// [Budget] bounds many flows together.
//
// # Endings
//
// Run returns when everything it started has ended and is closed. Everything that
// was opened is closed exactly once. When a stream ends well, its source and stages
// are closed first, and then its sink sees the end. A sink without Commit is closed
// there. Sinks with Commit, such as [Create], wait until all streams of the flow
// have ended well: all prepare, then all commit, and then all are closed. So a file
// is whole or absent. See [Sink].
//
// A failure arrives behind the values that came before it: sinks, [Collect] and
// [Stream.All] get those values first. Everything upstream of the failure and
// beside it stops at once. When ctx ends, everything stops at once; blocked reads
// and writes are unblocked through deadlines, or else by closing. Run returns the
// first error, which names its stage ([StageError]); [errors.Is] finds the errors
// that followed it too. A panic in a stage comes back as a [PanicError].
//
// A stage that needs no more input returns [ErrStop]; everything upstream then
// stops without error. [Flow.Stop] ends the sources: the flow finishes what it
// has, and Run returns nil. A flow in which every lane waits for another ends with
// [ErrDeadlock].
//
// # Who is slow
//
// The time of every stage splits into states that always add up: busy (its own
// code), blocked (downstream does not take its output), starved (nothing comes
// from upstream), outside (inside Read or Write of a file, socket or process)
// and, where the kernel moves the bytes and does not tell, unknown. From them
// [Flow.Report] names the bottleneck in a sentence, while the flow runs and
// afterwards. Package report has the words of reports, and the rule.
//
// # Pipes by hand
//
// [NewPipe] makes the bounded buffer for goroutines of your own: blocking,
// context-aware, non-blocking with a channel that says when to try again, one
// value or many at a time, with or without copying. A pipe of bytes is an
// [io.Reader] and an [io.Writer].
//
// # Other packages
//
// Package text has stages for lines, case and patterns, record for JSON, CSV and
// frames, pace for rates and gates, compress for gzip, zstd, zlib and s2. They use
// nothing of this package but what it exports: a [Stage] of yours can do what
// theirs do.
package weir
