package trust

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Many servers that each send a large piece and then hang hold a few large pieces together, and do not stand in the way of a small one.
func TestLargeElementsShareABudget(t *testing.T) {
	f := testFetcher(FetcherOptions{})
	hanging, stop := context.WithCancel(t.Context())
	defer stop()
	read := func(ctx context.Context, r io.Reader) error {
		_, err := ParseMetadata(r, ParseOptions{Now: testNow, MaxBytes: DefaultMaxBytes, share: f.budget.share(ctx)})
		return err
	}
	head := xmlHead + `<md:EntityDescriptor ` + names + ` entityID="https://idp.example.com"><md:Extensions>`
	ended := make(chan error, largeElements)
	var pipes []*io.PipeWriter
	for range largeElements {
		r, w := io.Pipe()
		pipes = append(pipes, w)
		go func() { ended <- read(hanging, r) }()
		// The write returns when all of it was read, so the slot is taken by then.
		if _, err := io.WriteString(w, head+strings.Repeat("x", 2*freeBytes)); err != nil {
			t.Fatal(err)
		}
	}
	small := standalone("https://idp.example.com", goodRole(signer(t, "old")))
	if err := read(t.Context(), strings.NewReader(small)); err != nil {
		t.Errorf("a small one beside them: %v", err)
	}
	large := strings.Replace(small, "<md:IDP", "<md:Extensions>"+strings.Repeat("<x>y</x>", freeBytes/8+1)+"</md:Extensions><md:IDP", 1)
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := read(impatient, strings.NewReader(large)); kindOf(err) != KindTimeout {
		t.Errorf("a large one beside them: %v", err)
	}
	for _, w := range pipes {
		_ = w.CloseWithError(fmt.Errorf("gone"))
	}
	for range largeElements {
		if err := <-ended; kindOf(err) != KindConnection {
			t.Errorf("one that hung: %v", err)
		}
	}
	if err := read(t.Context(), strings.NewReader(large)); err != nil {
		t.Errorf("a large one after them: %v", err)
	}
	if len(f.budget.large)+len(f.budget.parse) != 0 {
		t.Errorf("%d and %d places are never given back", len(f.budget.large), len(f.budget.parse))
	}
}
