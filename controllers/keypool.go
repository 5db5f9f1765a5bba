package controllers

import (
	"context"
	"crypto/rsa"
	"runtime"

	"golang.org/x/sync/errgroup"

	"sallyport.dev/sallyport/internal/trust"
)

// keyPoolSize is how many RSA keys are there in advance: a directory of new connections is Ready without waiting for prime numbers.
const keyPoolSize = 24

// keyPool makes RSA keys in the background, on half of the processors at most.
type keyPool struct {
	keys chan *rsa.PrivateKey
	make func() (*rsa.PrivateKey, error)
}

func newKeyPool(makeKey func() (*rsa.PrivateKey, error)) *keyPool {
	if makeKey == nil {
		makeKey = func() (*rsa.PrivateKey, error) { return trust.NewRSAKey(nil) }
	}
	return &keyPool{keys: make(chan *rsa.PrivateKey, keyPoolSize), make: makeKey}
}

// Start makes keys until the context ends.
func (p *keyPool) Start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		group.Go(func() error { return p.fill(ctx) })
	}
	return group.Wait()
}

func (p *keyPool) fill(ctx context.Context) error {
	for {
		key, err := p.make()
		if err != nil {
			return err
		}
		select {
		case p.keys <- key:
		case <-ctx.Done():
			return nil
		}
	}
}

// take returns a key that nobody else gets, or nil when none is there yet.
func (p *keyPool) take() *rsa.PrivateKey {
	select {
	case key := <-p.keys:
		return key
	default:
		return nil
	}
}
