// Package weir moves data from a source, through stages, into a sink. It uses a
// limited amount of memory, which is known before the run, and says which part is
// slow.
//
// # Streams, stages, flows
//
// A [Stream] describes a sequence of values: bytes, or any other type. Connect it
// to a [Sink] to get a [Flow]. Nothing opens or runs before [Flow.Run]:
//
//	err := weir.File("input.txt").Through(compress.Gzip()).To(weir.Create("input.txt.gz")).Run(ctx)
//
// Generic functions change the type of a stream; methods keep it:
//
//	orders := weir.Map(text.Lines(weir.File("orders.jsonl")), parseOrder, weir.Workers(8))
//	big := weir.Filter(orders, func(o Order) bool { return o.Total > 1000 })
//	for order, err := range big.All(ctx) { … }
//
// Values travel in batches. A batch holds the values that are available now;
// nothing waits to fill a batch unless you ask for it. A function that receives a
// batch must neither change nor keep it, like a Write method of [io.Writer].
//
// # Backpressure
//
// Cheap stages are fused: they call each other, batch by batch, in one goroutine,
// which is called a lane. A lane ends in a pipe, a bounded buffer with a hard
// limit, wherever running concurrently helps: around input and output, expensive
// codecs and parallel workers, and where you call [Stream.Async]. A stage waits
// while the next pipe is full. That wait is the backpressure. It reaches the source
// by itself, and no producer can ignore it.
//
// [Flow.Ceiling] says, before anything opens, how much memory a flow can hold.
// It is a number of bytes plus, if values differ in size, a number of values:
// weir can measure a value only when it exists. [Flow.MaxValue] limits the size
// of values, so that the ceiling is a number of bytes only. The ceiling names
// the stages whose values cannot be measured. A [Budget] limits many flows
// together.
//
// # Endings
//
// Run returns when everything it started has ended and is closed. Everything that
// was opened is closed exactly once. When a stream ends without an error, its source
// and stages are closed first, and then its sink sees the end. A sink without Commit
// is closed at that point. Sinks with Commit, such as [Create], wait until all
// streams of the flow have ended without an error. Then all prepare, all commit, and
// all are closed. So a file is whole or absent. See [Sink].
//
// After a failure, sinks, [Collect] and [Stream.All] still get the values from
// before the failure. Everything upstream of the failure, and in parallel branches,
// stops at once. When ctx ends, everything stops at once; blocked reads and writes
// are interrupted by a deadline, or by closing if there are no deadlines. Run
// returns the first error, which names its stage ([StageError]); [errors.Is] also
// finds the errors that followed it. Run returns a panic in a stage as a
// [PanicError].
//
// A stage that needs no more input returns [ErrStop]; everything upstream then
// stops without error. [Flow.Stop] ends the sources: the flow finishes the values
// that it has, and Run returns nil. If every lane of a flow waits for another, the
// flow ends with [ErrDeadlock].
//
// # Who is slow
//
// The time of every stage splits into states that always add up: busy (its own
// code), blocked (downstream does not take its output), starved (nothing comes
// from upstream), outside (inside Read or Write of a file, socket or process)
// and unknown (the kernel moves the bytes and does not report which side it waits
// for). From these times [Flow.Report] names the bottleneck in one sentence, during
// the run and afterwards. Package report defines the types of reports, and the rule.
//
// # Pipes by hand
//
// [NewPipe] makes a bounded buffer for your own goroutines. Calls can block, observe
// a context, or return at once and provide a channel that says when to try again.
// They move one value or many, with or without copying. A pipe of bytes is an
// [io.Reader] and an [io.Writer].
//
// # Other packages
//
// Package text has stages for lines, case and patterns, record for JSON, CSV and
// frames, pace for rates and gates, compress for gzip, zstd, zlib and s2. They use
// only the exported names of this package, so your own [Stage] can do everything
// that theirs do.
package weir
