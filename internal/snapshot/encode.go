package snapshot

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
)

// Encode turns a snapshot into files. The same content gives the same bytes, in whatever order connections and domains come.
// It fails with a *TooLargeError when a file would not fit into a Secret.
func Encode(s Snapshot) (*Encoded, error) { return EncodeAfter(nil, s) }

// EncodeAfter is Encode, and takes the files that did not change from what was encoded before (nil: nothing was) instead of making them
// again. What the connections of either point to must not be changed any more.
func EncodeAfter(previous *Encoded, s Snapshot) (*Encoded, error) {
	if previous == nil {
		previous = &Encoded{}
	}
	var shards [ShardCount][]*Connection
	for _, c := range inOrder(s.Connections, func(a, b *Connection) int { return cmp.Compare(a.Name, b.Name) }) {
		n := ShardOf(c.Name)
		shards[n] = append(shards[n], c)
	}
	encoded := &Encoded{Files: map[string][]byte{}, digests: map[string]string{}}
	head := index{Format: formatVersion, ServiceProvider: s.ServiceProvider}
	for n, connections := range shards {
		if len(connections) == 0 {
			continue
		}
		if err := encoded.addShard(previous, n, connections); err != nil {
			return nil, withCounts(err, len(connections), 0)
		}
		head.Shards = append(head.Shards, shardEntry{Number: n, SHA256: encoded.digests[ShardFile(n)]})
	}
	if err := encoded.addIndex(previous, head, s.Domains); err != nil {
		return nil, withCounts(err, 0, len(s.Domains))
	}
	encoded.Revision = encoded.digests[IndexFile][:32]
	return encoded, nil
}

// inOrder returns where the elements are, in order.
func inOrder[T any](all []T, compare func(a, b *T) int) []*T {
	places := make([]*T, len(all))
	for i := range all {
		places[i] = &all[i]
	}
	slices.SortFunc(places, compare)
	return places
}

func (e *Encoded) addShard(previous *Encoded, n int, connections []*Connection) error {
	name, before := ShardFile(n), previous.connections[n]
	if slices.EqualFunc(before, connections, func(a Connection, b *Connection) bool { return SameConnection(&a, b) }) {
		e.connections[n] = before
		e.keep(previous, name)
		return nil
	}
	for _, c := range connections {
		e.connections[n] = append(e.connections[n], *c)
	}
	return e.add(previous, name, shard{e.connections[n]})
}

// addIndex comes last: it names what is in the shards.
func (e *Encoded) addIndex(previous *Encoded, head index, domains []Domain) error {
	sorted := inOrder(domains, func(a, b *Domain) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Binding, b.Binding))
	})
	before := previous.head
	sameDomains := slices.EqualFunc(before.Domains, sorted, func(a Domain, b *Domain) bool { return a == *b })
	if head.Domains = before.Domains; !sameDomains {
		head.Domains = make([]Domain, 0, len(sorted))
		for _, d := range sorted {
			head.Domains = append(head.Domains, *d)
		}
	}
	e.head = head
	if sameDomains && previous.Revision != "" && slices.Equal(before.Shards, head.Shards) && reflect.DeepEqual(before.ServiceProvider, head.ServiceProvider) {
		e.keep(previous, IndexFile)
		return nil
	}
	return e.add(previous, IndexFile, head)
}

// keep takes over a file of which the content is the same.
func (e *Encoded) keep(previous *Encoded, name string) {
	e.Files[name], e.digests[name] = previous.Files[name], previous.digests[name]
}

// add puts one file in. Its digest is of the JSON, not of the compressed bytes, so that a compressor that got better is not mistaken for a change.
func (e *Encoded) add(previous *Encoded, name string, content any) error {
	plain, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	if e.digests[name] = digest(plain); previous.digests[name] == e.digests[name] {
		e.keep(previous, name)
		return nil
	}
	packed, err := pack(plain)
	if err == nil && len(packed) > MaxFileBytes {
		err = &TooLargeError{File: name, Bytes: len(packed)}
	}
	e.Files[name] = packed
	return err
}

// level is the one from which on the index gets no smaller that is worth the time: the best takes more than twice as long for 0.7 % less.
const level = 5

// writers are kept because one takes more than a megabyte.
var writers = sync.Pool{New: func() any {
	writer, err := gzip.NewWriterLevel(nil, level)
	if err != nil {
		panic(err) // the level is a constant
	}
	return writer
}}

// pack compresses. The header stays empty (no time, no name), so equal content gives equal bytes.
func pack(plain []byte) ([]byte, error) {
	var packed bytes.Buffer
	writer, _ := writers.Get().(*gzip.Writer)
	defer writers.Put(writer)
	writer.Reset(&packed)
	if _, err := writer.Write(plain); err != nil {
		return nil, err
	}
	err := writer.Close()
	return packed.Bytes(), err
}

func withCounts(err error, connections, domains int) error {
	if tooLarge, ok := errors.AsType[*TooLargeError](err); ok {
		tooLarge.Connections, tooLarge.Domains = connections, domains
	}
	return err
}
