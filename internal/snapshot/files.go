package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
)

// Read decodes the snapshot whose files lie flat in a directory: os.DirFS of --snapshot-dir, or what a Pod has mounted.
func Read(dir fs.FS) (Snapshot, string, error) {
	return Decode(func(file string) ([]byte, error) { return fs.ReadFile(dir, file) })
}

// FromFiles decodes a snapshot from files by name, as Encode gave them or as the data of its Secrets.
func FromFiles(files map[string][]byte) (Snapshot, string, error) {
	return Decode(func(file string) ([]byte, error) {
		content, ok := files[file]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return content, nil
	})
}

func missing(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &IncompleteError{File: file}
	}
	return fmt.Errorf("reading %s: %w", file, err)
}
