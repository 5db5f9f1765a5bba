package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// storeCA are the authorities of --store-ca-file. Once they were good, a file that is not, or is gone, changes nothing until it is good again.
type storeCA struct {
	file string
	log  *slog.Logger

	mutex sync.Mutex
	good  []byte
}

// read returns the authorities of today as PEM.
func (s *storeCA) read() ([]byte, error) {
	content, err := os.ReadFile(s.file)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(content) {
		err = errors.New("there is no certificate in it: write the certificates of the authorities as PEM (spec.store.postgres.caBundle)")
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch {
	case err == nil:
		s.good = content
	case s.good == nil:
		return nil, fmt.Errorf("--store-ca-file: %w", err)
	default:
		s.log.Warn("--store-ca-file cannot be used: going on with the authorities that it had", "error", err)
	}
	return s.good, nil
}
