package signin

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/serve"
)

// TestLargeMessagesWaitInThePlaceOfSmallOnes: what waits to be verified takes no more memory where larger messages are allowed.
func TestLargeMessagesWaitInThePlaceOfSmallOnes(t *testing.T) {
	h := New(Options{Env: &serve.Env{Metrics: metrics.New()}})
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		release, err := h.turn(t.Context(), "somebody", 1)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answers := make(chan error, 5)
	for range cap(answers) {
		go func() {
			_, err := h.turn(ctx, "mallory", saml.MostMaxMessage)
			answers <- err
		}()
	}
	select {
	case err := <-answers:
		if !errors.Is(err, saml.ErrBusy) {
			t.Errorf("the fifth: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("five wait")
	}
	cancel()
	for range cap(answers) - 1 {
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("the first four: %v", err)
		}
	}
}
