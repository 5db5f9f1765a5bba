package browser

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/chromedp/chromedp"
)

// Visit lets somebody do something in a window of their own, with an empty profile, of the same browser process, and closes it. What fails in there ends the
// visit, not the test, and is returned. Any number of visits may go on at a time.
func (b *Tab) Visit(do func(*Tab)) error {
	ctx, closeWindow := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	defer closeWindow()
	if err := chromedp.Do(ctx); err != nil {
		return fmt.Errorf("new window: %w", err)
	}
	v := &visit{TB: b.t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(&Tab{t: v, ctx: ctx})
	}()
	<-done
	return v.err
}

// visit is where a window reports its failure: testing's own Fatalf may only be called by the test's goroutine.
type visit struct {
	testing.TB
	err error
}

// Helper does nothing: nothing is logged here.
func (v *visit) Helper() {}

// Fatalf keeps the reason and ends the visit.
func (v *visit) Fatalf(format string, args ...any) {
	v.err = fmt.Errorf(format, args...)
	runtime.Goexit()
}
