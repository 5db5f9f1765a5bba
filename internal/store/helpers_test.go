package store_test

import "sallyport.dev/sallyport/internal/store"

func storeOptions() store.Options { return store.Options{} }
