package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor_EndsWithTheTimeOrTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := For(t.Context(), time.Hour); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("For = %v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		time.AfterFunc(time.Minute, func() { cancel(stop) })
		begin = time.Now()
		if err := For(ctx, time.Hour); !errors.Is(err, stop) || time.Since(begin) != time.Minute {
			t.Errorf("For = %v after %v", err, time.Since(begin))
		}
	})
}
