package store_test

import (
	"os"
	"testing"

	"sallyport.dev/sallyport/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
