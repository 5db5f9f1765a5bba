package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Read decodes the snapshot whose files lie flat in a directory: os.DirFS of --snapshot-dir, or what a Pod has mounted.
func Read(dir fs.FS) (Snapshot, string, error) {
	return Decode(func(file string) ([]byte, error) { return fs.ReadFile(dir, file) })
}

// FromFiles decodes a snapshot from files by name, as Encode gave them or as the data of its Secrets.
func FromFiles(files map[string][]byte) (Snapshot, string, error) {
	return Decode(from(files))
}

// FromFiles decodes the snapshot in files by name, as the function of that name does.
func (d *Decoder) FromFiles(files map[string][]byte) (Snapshot, string, error) {
	return d.Decode(from(files))
}

func from(files map[string][]byte) func(string) ([]byte, error) {
	return func(file string) ([]byte, error) {
		content, ok := files[file]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return content, nil
	}
}

// Recover decodes what a writer has left that died between a shard and the index: each connection in its newest form, and the rest as it was before. It is no
// revision, and nobody may serve it; the writer's next run finds in it the last form of everything. It fails when the index or a shard cannot be read.
func Recover(files map[string][]byte) (Snapshot, error) {
	read := from(files)
	head, _, err := decodeIndex(read)
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{ServiceProvider: head.ServiceProvider, Domains: head.Domains}
	for n := range ShardCount {
		name := ShardFile(n)
		if _, ok := files[name]; !ok {
			continue
		}
		plain, err := expand(read, name)
		if err != nil {
			return Snapshot{}, err
		}
		connections, err := decodeConnections(name, plain)
		if err != nil {
			return Snapshot{}, err
		}
		s.Connections = append(s.Connections, connections...)
	}
	slices.SortFunc(s.Connections, func(a, b Connection) int { return cmp.Compare(a.Name, b.Name) })
	return s, nil
}

func missing(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &IncompleteError{File: file}
	}
	return fmt.Errorf("reading %s: %w", file, err)
}
