package snapshot

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

const (
	// ShardCount is how many shards the connections are spread over. It is part of the format: another number moves every connection.
	ShardCount = 32
	// MaxFileBytes is what a Kubernetes Secret holds at most.
	MaxFileBytes = 1 << 20
	// IndexFile is the name of the index, as a file and as the key in its Secret. It is written last.
	IndexFile = "index.json.gz"

	// formatVersion changes when an older reader would misread the newer form. Fields that an older reader may ignore do not change it.
	formatVersion = 1
	// maxExpandedBytes bounds what a reader inflates of one file.
	maxExpandedBytes = 64 << 20
)

// Encoded is a Snapshot as files: the index, and one file per shard that holds a connection.
// A Secret holds one file under the file's own name, so a directory with every Secret mounted side by side has the same files.
type Encoded struct {
	// Revision names the content: equal snapshots have equal revisions, whatever wrote them.
	Revision string
	// Files by name: IndexFile and ShardFile(n). Each is at most MaxFileBytes long.
	Files map[string][]byte

	// What the files were made from, so that a file of the same content is not made again.
	connections [ShardCount][]Connection
	head        index
	digests     map[string]string
}

// index is what IndexFile holds.
type index struct {
	Format          int             `json:"format"`
	ServiceProvider ServiceProvider `json:"serviceProvider"`
	Domains         []Domain        `json:"domains,omitempty"`
	Shards          []shardEntry    `json:"shards,omitempty"`
}

// shardEntry pins one shard to its content: a reader never mixes two revisions.
type shardEntry struct {
	Number int    `json:"number"`
	SHA256 string `json:"sha256"`
}

// shard is what a shard's file holds.
type shard struct {
	Connections []Connection `json:"connections"`
}

// TooLargeError says that a part of the snapshot does not fit into a Secret.
type TooLargeError struct {
	File        string
	Bytes       int
	Connections int
	Domains     int
}

func (e *TooLargeError) Error() string {
	if e.File == IndexFile {
		return fmt.Sprintf("%d domain bindings take %d bytes compressed, and a Secret holds %d: move some of them, with their IdentityProviders, to another ServiceProvider",
			e.Domains, e.Bytes, MaxFileBytes)
	}
	return fmt.Sprintf("shard %s takes %d bytes compressed for its %d connections, and a Secret holds %d: move some IdentityProviders to another ServiceProvider",
		e.File, e.Bytes, e.Connections, MaxFileBytes)
}

// IncompleteError says that a file is missing or belongs to another revision than the index: the rest is still on its way.
type IncompleteError struct{ File string }

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("the snapshot is incomplete: %s is missing or belongs to another revision than %s", e.File, IndexFile)
}

// ShardFile returns the name of shard n's file, n from 0 to ShardCount-1.
func ShardFile(n int) string { return fmt.Sprintf("shard-%02d.json.gz", n) }

// FileNames returns the name of every file that a snapshot can have, the index last.
func FileNames() []string {
	names := make([]string, 0, ShardCount+1)
	for n := range ShardCount {
		names = append(names, ShardFile(n))
	}
	return append(names, IndexFile)
}

// SecretName returns the name of the Secret that holds the file for a ServiceProvider:
// <sp>-snapshot-index, or <sp>-snapshot-00 to <sp>-snapshot-31.
func SecretName(serviceProvider, file string) string {
	part := strings.TrimSuffix(file, ".json.gz")
	return serviceProvider + "-snapshot-" + strings.TrimPrefix(part, "shard-")
}

// ShardOf returns the shard that holds the connection of that name.
func ShardOf(connection string) int {
	sum := sha256.Sum256([]byte(connection))
	return int(sum[0]) % ShardCount
}

// Decode reads a snapshot from its files and returns it with its revision. read returns the content of one file by name;
// it is called for the index first and then for each shard that the index lists. An error that satisfies errors.Is(err, fs.ErrNotExist)
// for a shard, or a shard of another revision, gives an *IncompleteError: try again when more has arrived.
func Decode(read func(file string) ([]byte, error)) (Snapshot, string, error) {
	return new(Decoder).Decode(read)
}

func decodeIndex(read func(string) ([]byte, error)) (head index, revision string, err error) {
	plain, err := expand(read, IndexFile)
	if err != nil {
		return head, "", err
	}
	if err := json.Unmarshal(plain, &head); err != nil {
		return head, "", fmt.Errorf("%s: %w", IndexFile, err)
	}
	if head.Format != formatVersion {
		return head, "", fmt.Errorf("%s has format %d and this version reads format %d: run the operator and the service provider in the same version",
			IndexFile, head.Format, formatVersion)
	}
	return head, digest(plain)[:32], nil
}

func decodeShard(read func(string) ([]byte, error), entry shardEntry) ([]Connection, error) {
	name := ShardFile(entry.Number)
	plain, err := expand(read, name)
	if err != nil {
		return nil, err
	}
	if digest(plain) != entry.SHA256 {
		return nil, &IncompleteError{File: name}
	}
	return decodeConnections(name, plain)
}

func decodeConnections(name string, plain []byte) ([]Connection, error) {
	var content shard
	if err := json.Unmarshal(plain, &content); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return content.Connections, nil
}

func digest(plain []byte) string {
	sum := sha256.Sum256(plain)
	return hex.EncodeToString(sum[:])
}

func expand(read func(string) ([]byte, error), name string) ([]byte, error) {
	packed, err := read(name)
	if err != nil {
		return nil, missing(name, err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	plain, err := io.ReadAll(io.LimitReader(reader, maxExpandedBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(plain) > maxExpandedBytes {
		return nil, fmt.Errorf("%s is longer than %d bytes when expanded", name, maxExpandedBytes)
	}
	return plain, nil
}
