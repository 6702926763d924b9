// Package weirtest helps to test stages, and other code that uses flows. It has
// sources and sinks that a test drives and that count their calls, a stage that
// cuts batches at other places, and a check that nothing is left behind.
//
// Nothing here depends on how fast a machine is. A [Source] or [Sink] is held
// back by a channel, step by step, or by a delay that takes no real time inside
// [testing/synctest.Test]:
//
//	synctest.Test(t, func(t *testing.T) {
//		source := weirtest.Source[int]{Values: []int{1}, Repeat: true}
//		sink := weirtest.Sink[int]{Step: make(chan struct{})} // takes nothing
//		flow := source.Stream().To(sink.Sink())
//		go flow.Run(t.Context())
//		synctest.Wait() // all are blocked
//		fmt.Println(source.Counts().Values, "values were read ahead")
//	})
package weirtest
