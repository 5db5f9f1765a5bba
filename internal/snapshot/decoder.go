package snapshot

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// Decoder reads one snapshot after another, and those parts only that are not what they were. What it returns must not be changed. Its zero value has read nothing;
// it is not safe for concurrent use.
type Decoder struct {
	packed   []byte
	head     index
	revision string
	shards   [ShardCount]decodedShard
}

// decodedShard is what a shard of that digest holds.
type decodedShard struct {
	sha256      string
	connections []Connection
}

// Decode is as the function of that name, but for shards that the index pins to what was decoded before: those are not read.
func (d *Decoder) Decode(read func(file string) ([]byte, error)) (Snapshot, string, error) {
	if err := d.decodeIndex(read); err != nil {
		return Snapshot{}, "", err
	}
	s := Snapshot{ServiceProvider: d.head.ServiceProvider, Domains: d.head.Domains}
	var all []*Connection
	for _, entry := range d.head.Shards {
		if entry.Number < 0 || entry.Number >= ShardCount {
			return Snapshot{}, "", fmt.Errorf("%s lists shard %s: there are %d shards", IndexFile, strconv.Itoa(entry.Number), ShardCount)
		}
		known := &d.shards[entry.Number]
		if known.sha256 != entry.SHA256 {
			connections, err := decodeShard(read, entry)
			if err != nil {
				return Snapshot{}, "", err
			}
			*known = decodedShard{entry.SHA256, connections}
		}
		for i := range known.connections {
			all = append(all, &known.connections[i])
		}
	}
	slices.SortFunc(all, func(a, b *Connection) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range all {
		s.Connections = append(s.Connections, *c)
	}
	return s, d.revision, nil
}

// decodeIndex reads the index, unless it is the same file as before.
func (d *Decoder) decodeIndex(read func(string) ([]byte, error)) error {
	packed, err := read(IndexFile)
	if err != nil {
		return missing(IndexFile, err)
	}
	if d.revision != "" && bytes.Equal(packed, d.packed) {
		return nil
	}
	head, revision, err := decodeIndex(func(string) ([]byte, error) { return packed, nil })
	if err == nil {
		d.packed, d.head, d.revision = packed, head, revision
	}
	return err
}
