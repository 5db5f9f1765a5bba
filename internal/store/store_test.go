package store_test

import (
	"os"
	"testing"

	"sallyport.dev/sallyport/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func TestOpen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		d := storetest.Open(t, storeURL, storeOptions())
		if err := d.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
