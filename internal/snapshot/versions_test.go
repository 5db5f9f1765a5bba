package snapshot

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestAReaderIgnoresWhatANewerWriterAdds: during an upgrade the operator is newer than the pods for a while. What it says beyond what they know is passed over, and the revision
// that they acknowledge is the one that it has written.
func TestAReaderIgnoresWhatANewerWriterAdds(t *testing.T) {
	original := sample(5, 5)
	newer := &Encoded{Files: map[string][]byte{}, digests: map[string]string{}}
	var head map[string]any
	var shards []any
	files := encode(t, original).Files
	for name := range files {
		plain, err := expand(func(file string) ([]byte, error) { return files[file], nil }, name)
		if err != nil {
			t.Fatal(err)
		}
		var content map[string]any
		if err := json.Unmarshal(plain, &content); err != nil {
			t.Fatal(err)
		}
		addEverywhere(content)
		if name == IndexFile {
			head = content
			continue
		}
		if err := newer.add(&Encoded{}, name, content); err != nil {
			t.Fatal(err)
		}
		var number int
		for n := range ShardCount {
			if ShardFile(n) == name {
				number = n
			}
		}
		shards = append(shards, map[string]any{"number": number, "sha256": newer.digests[name], "future": true})
	}
	head["shards"] = shards
	if err := newer.add(&Encoded{}, IndexFile, head); err != nil {
		t.Fatal(err)
	}
	got, revision, err := FromFiles(newer.Files)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := FromFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || revision != newer.digests[IndexFile][:32] {
		t.Errorf("what a newer operator wrote is read as\n%+v, revision %s, want\n%+v, revision %s", got, revision, want, newer.digests[IndexFile][:32])
	}
}

// addEverywhere gives every object in the JSON a field that nobody knows.
func addEverywhere(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range maps.Clone(v) {
			addEverywhere(inner)
		}
		v["future"] = map[string]any{"a": []any{1, "b"}}
	case []any:
		for _, inner := range v {
			addEverywhere(inner)
		}
	}
}

// TestSnapshotsOfEarlierReleasesAreRead: the operator starts from what an earlier one has published, and a pod that is newer than the operator serves it. Nothing in testdata is
// ever changed.
func TestSnapshotsOfEarlierReleasesAreRead(t *testing.T) {
	for release, want := range map[string]struct {
		revision             string
		connections, domains int
	}{"v0.1": {"4429133dfa070f4891b31d2904d86b9e", 3, 3}} {
		dir := filepath.Join("testdata", release)
		s, revision, err := Read(os.DirFS(dir))
		if err != nil {
			t.Fatalf("%s: %v", release, err)
		}
		if revision != want.revision || len(s.Connections) != want.connections || len(s.Domains) != want.domains || !strings.HasPrefix(s.ServiceProvider.URL, "https://") {
			t.Errorf("%s: revision %s with %d connections and %d domains of %q", release, revision, len(s.Connections), len(s.Domains), s.ServiceProvider.URL)
		}
		for _, c := range s.Connections {
			if c.EntityID == "" || c.ACSURL == "" || c.Trust == nil || len(c.Trust.SigningCertificates) == 0 || len(c.Keys) == 0 || len(c.Keys[0].PrivateKey) == 0 {
				t.Errorf("%s: connection %s has lost something: %+v", release, c.Name, c)
			}
		}
	}
}
