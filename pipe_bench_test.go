package weir

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
)

func BenchmarkSendOne(b *testing.B) {
	r, w := NewPipe[int](Items(16384))
	ctx := context.Background()
	done := make(chan int)
	go func() {
		s := 0
		for {
			v, err := r.Acquire(ctx)
			if err != nil {
				break
			}
			for _, x := range v {
				s += x
			}
			r.Release(len(v))
		}
		done <- s
	}()
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		w.Send(ctx, i)
	}
	w.Close()
	<-done
}
func BenchmarkChan(b *testing.B) {
	c := make(chan int, 1024)
	done := make(chan int)
	go func() {
		s := 0
		for v := range c {
			s += v
		}
		done <- s
	}()
	for i := 0; i < b.N; i++ {
		c <- i
	}
	close(c)
	<-done
}
func BenchmarkWrite64(b *testing.B) {
	r, w := NewPipe[byte](Bytes(64 << 10))
	ctx := context.Background()
	done := make(chan int)
	go func() {
		s := 0
		for {
			v, err := r.Acquire(ctx)
			if err != nil {
				break
			}
			s += len(v)
			r.Release(len(v))
		}
		done <- s
	}()
	buf := make([]byte, 64)
	for i := 0; i < b.N; i++ {
		w.Write(buf)
	}
	w.Close()
	<-done
}
func BenchmarkIOPipe64(b *testing.B) {
	r, w := io.Pipe()
	done := make(chan int)
	go func() {
		s := 0
		p := make([]byte, 65536)
		for {
			n, err := r.Read(p)
			if err != nil {
				break
			}
			s += n
		}
		done <- s
	}()
	buf := make([]byte, 64)
	for i := 0; i < b.N; i++ {
		w.Write(buf)
	}
	w.Close()
	<-done
}
func BenchmarkPingPong(b *testing.B) {
	r1, w1 := NewPipe[int](Items(1))
	r2, w2 := NewPipe[int](Items(1))
	ctx := context.Background()
	go func() {
		for {
			v, err := r1.Recv(ctx)
			if err != nil {
				return
			}
			w2.Send(ctx, v)
		}
	}()
	for i := 0; i < b.N; i++ {
		w1.Send(ctx, i)
		r2.Recv(ctx)
	}
	w1.Close()
}
func BenchmarkPingPongChan(b *testing.B) {
	c1, c2 := make(chan int), make(chan int)
	go func() {
		for v := range c1 {
			c2 <- v
		}
	}()
	for i := 0; i < b.N; i++ {
		c1 <- i
		<-c2
	}
	close(c1)
}
func BenchmarkInPlace4K(b *testing.B) {
	r, w := NewPipe[byte](Bytes(256 << 10))
	ctx := context.Background()
	done := make(chan int)
	go func() {
		s := 0
		for {
			v, err := r.Acquire(ctx)
			if err != nil {
				break
			}
			s += len(v)
			r.Release(len(v))
		}
		done <- s
	}()
	src := make([]byte, 4096)
	b.SetBytes(4096)
	for i := 0; i < b.N; i++ {
		for rest := src; len(rest) > 0; {
			v, _ := w.Reserve(ctx, len(rest))
			n := copy(v, rest)
			rest = rest[n:]
			w.Commit(n)
		}
	}
	w.Close()
	<-done
}
func BenchmarkChanBlocks4K(b *testing.B) {
	c := make(chan []byte, 64)
	free := make(chan []byte, 64)
	for range 64 {
		free <- make([]byte, 4096)
	}
	done := make(chan int)
	go func() {
		s := 0
		for v := range c {
			s += len(v)
			free <- v
		}
		done <- s
	}()
	src := make([]byte, 4096)
	b.SetBytes(4096)
	for i := 0; i < b.N; i++ {
		v := <-free
		copy(v, src)
		c <- v
	}
	close(c)
	<-done
}
func BenchmarkInPlace64K(b *testing.B) {
	r, w := NewPipe[byte](Bytes(256 << 10))
	ctx := context.Background()
	done := make(chan int)
	go func() {
		s := 0
		for {
			v, err := r.Acquire(ctx)
			if err != nil {
				break
			}
			s += len(v)
			r.Release(len(v))
		}
		done <- s
	}()
	src := make([]byte, 65536)
	b.SetBytes(65536)
	for i := 0; i < b.N; i++ {
		for rest := src; len(rest) > 0; {
			v, _ := w.Reserve(ctx, len(rest))
			n := copy(v, rest)
			rest = rest[n:]
			w.Commit(n)
		}
	}
	w.Close()
	<-done
}
func BenchmarkIOPipe64K(b *testing.B) {
	r, w := io.Pipe()
	done := make(chan int)
	go func() {
		s := 0
		p := make([]byte, 65536)
		for {
			n, err := r.Read(p)
			if err != nil {
				break
			}
			s += n
		}
		done <- s
	}()
	src := make([]byte, 65536)
	b.SetBytes(65536)
	for i := 0; i < b.N; i++ {
		w.Write(src)
	}
	w.Close()
	<-done
}

// Many goroutines that write a few values each time and never stop.
func BenchmarkManyWriters(b *testing.B) {
	const writers, batch = 8, 4
	for _, limit := range []int64{16, 256, 16384} {
		b.Run(fmt.Sprintf("pipe=%d", limit), func(b *testing.B) {
			r, w := NewPipe[int](Items(limit))
			ctx := context.Background()
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					var vs [batch]int
					for range b.N / writers {
						w.SendBatch(ctx, vs[:])
					}
				})
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				var dst [256]int
				for {
					if _, err := r.RecvBatch(ctx, dst[:]); err != nil {
						return
					}
				}
			}()
			all.Wait()
			w.Close()
			<-done
		})
		b.Run(fmt.Sprintf("chan=%d", limit/batch), func(b *testing.B) {
			c := make(chan [batch]int, limit/batch)
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					var vs [batch]int
					for range b.N / writers {
						c <- vs
					}
				})
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range c {
				}
			}()
			all.Wait()
			close(c)
			<-done
		})
	}
}

// record is a struct of strings, whose size somebody has to say.
type record struct{ name, text, link string }

func (r record) size() int { return len(r.name) + len(r.text) + len(r.link) }

// Values of unknown and of known size, in batches as lanes write them, then one
// by one.
func BenchmarkBatches(b *testing.B) {
	b.Run("int", func(b *testing.B) { benchBatches(b, 7, nil) })
	b.Run("string", func(b *testing.B) { benchBatches(b, "some text", nil) })
	b.Run("record", func(b *testing.B) { benchBatches(b, record{"a name", "some text", "a link"}, record.size) })
}

func BenchmarkSends(b *testing.B) {
	b.Run("int", func(b *testing.B) { benchSends(b, 7, nil) })
	b.Run("string", func(b *testing.B) { benchSends(b, "some text", nil) })
	b.Run("record", func(b *testing.B) { benchSends(b, record{"a name", "some text", "a link"}, record.size) })
}

func benchBatches[T any](b *testing.B, v T, size func(T) int) {
	batch := make([]T, 2048)
	for i := range batch {
		batch[i] = v
	}
	benchPipe(b, size, func(w *PipeWriter[T]) {
		for n := b.N; n > 0; n -= len(batch) {
			w.SendBatch(context.Background(), batch[:min(n, len(batch))])
		}
	})
}

func benchSends[T any](b *testing.B, v T, size func(T) int) {
	benchPipe(b, size, func(w *PipeWriter[T]) {
		for range b.N {
			w.Send(context.Background(), v)
		}
	})
}

func benchPipe[T any](b *testing.B, size func(T) int, write func(*PipeWriter[T])) {
	r, w, err := PipeOptions[T]{Size: size}.New()
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			view, err := r.Acquire(context.Background())
			if err != nil {
				return
			}
			r.Release(len(view))
		}
	}()
	b.ReportAllocs()
	write(w)
	w.Close()
	<-done
}

// The cost of the calls themselves: one goroutine writes and reads.
func BenchmarkAlone(b *testing.B) {
	ctx := context.Background()
	b.Run("in place", func(b *testing.B) {
		r, w := NewPipe[byte](Bytes(256 << 10))
		for b.Loop() {
			v, _ := w.Reserve(ctx, 4096)
			w.Commit(len(v))
			v, _ = r.Acquire(ctx)
			r.Release(len(v))
		}
	})
	b.Run("batch of 256 bytes", func(b *testing.B) {
		r, w := NewPipe[byte](Bytes(256 << 10))
		var buf [256]byte
		for b.Loop() {
			w.Write(buf[:])
			r.Read(buf[:])
		}
	})
	b.Run("send", func(b *testing.B) {
		r, w := NewPipe[int](Items(4096))
		for b.Loop() {
			w.Send(ctx, 1)
			r.Recv(ctx)
		}
	})
	b.Run("send string", func(b *testing.B) {
		r, w := NewPipe[string](Bytes(256 << 10))
		for b.Loop() {
			w.Send(ctx, "some text")
			r.Recv(ctx)
		}
	})
	b.Run("64 ints", func(b *testing.B) { benchAlone(b, 7) })
	b.Run("64 strings", func(b *testing.B) { benchAlone(b, "some text") })
	b.Run("64 structs without size", func(b *testing.B) { benchAlone(b, struct{ s string }{"some text"}) })
}

func benchAlone[T any](b *testing.B, v T) {
	r, w := NewPipe[T](Limit{})
	vs := make([]T, 64)
	for i := range vs {
		vs[i] = v
	}
	for b.Loop() {
		w.Write(vs)
		r.Read(vs)
	}
}
