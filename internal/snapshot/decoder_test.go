package snapshot

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// TestADecoderReadsWhatChangedAndReturnsEverything lets one decoder follow a snapshot through changes of every kind.
func TestADecoderReadsWhatChangedAndReturnsEverything(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var d Decoder
	s := sample(50, 20)
	before := map[string][]byte{}
	for round := range 25 {
		switch r.IntN(6) {
		case 0:
			s.Connections[r.IntN(len(s.Connections))].Generation++
		case 1:
			s.Connections[r.IntN(len(s.Connections))].Keys = []SPKey{{Phase: KeyCurrent, PrivateKey: bytesOf(r, 20)}}
		case 2:
			s.Connections = slices.Delete(s.Connections, 0, 1)
		case 3:
			s.Domains[r.IntN(len(s.Domains))].Generation++
		case 4:
			s.ServiceProvider.Generation++
		}
		files := encode(t, s).Files
		var changed, read []string
		for name := range files {
			if name != IndexFile && string(files[name]) != string(before[name]) {
				changed = append(changed, name)
			}
		}
		got, revision, err := d.Decode(func(file string) ([]byte, error) {
			if file != IndexFile {
				read = append(read, file)
			}
			return from(files)(file)
		})
		want, wanted, _ := FromFiles(files)
		if err != nil || revision != wanted || !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d: %v, revision %s, want %s", round, err, revision, wanted)
		}
		slices.Sort(changed)
		if slices.Sort(read); !slices.Equal(read, changed) {
			t.Errorf("round %d: read were %v, changed had %v", round, read, changed)
		}
		before = files
	}
}

func TestADecoderKeepsNothingOfWhatItCouldNotRead(t *testing.T) {
	var d Decoder
	s := sample(10, 1)
	if _, _, err := d.FromFiles(encode(t, s).Files); err != nil {
		t.Fatal(err)
	}
	s.Connections[3].Generation++
	files, shard := encode(t, s).Files, ShardFile(ShardOf(s.Connections[3].Name))
	good := files[shard]
	for _, bad := range [][]byte{nil, []byte("no gzip"), encode(t, sample(10, 1)).Files[shard]} {
		files[shard] = bad
		if _, _, err := d.FromFiles(files); err == nil {
			t.Fatal("a shard of another revision was taken")
		}
	}
	delete(files, shard)
	if _, _, err := d.FromFiles(files); !isIncomplete(err) {
		t.Fatalf("a missing shard gives %v", err)
	}
	files[shard] = good
	if got, _, err := d.FromFiles(files); err != nil || !slices.ContainsFunc(got.Connections, func(c Connection) bool { return c.Generation == 1 }) {
		t.Fatalf("the shard that has come is not taken: %v", err)
	}
	files[IndexFile] = []byte("no gzip")
	if _, _, err := d.FromFiles(files); err == nil {
		t.Fatal("what is no index was taken")
	}
	delete(files, IndexFile)
	if _, _, err := d.FromFiles(files); !isIncomplete(err) {
		t.Fatalf("a missing index gives %v", err)
	}
}

func isIncomplete(err error) bool {
	_, ok := errors.AsType[*IncompleteError](err)
	return ok
}
