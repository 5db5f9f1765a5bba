package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bytesOf returns n bytes that do not compress, as keys do not.
func bytesOf(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// sample is a snapshot with connections as large as real ones: RSA-3072 key, two certificates.
func sample(connections, domains int) Snapshot {
	r := rand.New(rand.NewPCG(1, 2))
	s := Snapshot{ServiceProvider: ServiceProvider{Namespace: "sso", Name: "main", URL: "https://sso.example.com",
		Session: Session{Lifetime: 12 * time.Hour, IdleTimeout: time.Hour, SameSite: "Lax"}}}
	for i := range connections {
		name := fmt.Sprintf("idp-%d", i)
		s.Connections = append(s.Connections, Connection{
			Name: name, UID: fmt.Sprintf("%x", bytesOf(r, 16)), Type: "Okta", Enabled: true,
			EntityID: "https://sso.example.com/saml/" + name, ACSURL: "https://sso.example.com/saml/" + name + "/acs",
			Trust: &Trust{EntityID: "https://idp.example.com/" + name, SSO: []Endpoint{{Binding: BindingRedirect, URL: "https://idp.example.com/" + name}},
				SigningCertificates: [][]byte{bytesOf(r, 900)}},
			Keys: []SPKey{{Phase: KeyCurrent, Certificate: bytesOf(r, 1100), PrivateKey: bytesOf(r, 1794)}},
		})
	}
	for i := range domains {
		s.Domains = append(s.Domains, Domain{Domain: fmt.Sprintf("d%05d.example", i), Connection: fmt.Sprintf("idp-%d", i%max(connections, 1)),
			Binding: fmt.Sprintf("d%05d", i), UID: fmt.Sprintf("%x", bytesOf(r, 16))})
	}
	return s
}

func encode(t *testing.T, s Snapshot) *Encoded {
	t.Helper()
	encoded, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func sorted(s Snapshot) Snapshot {
	s.Connections, s.Domains = slices.Clone(s.Connections), slices.Clone(s.Domains)
	slices.SortFunc(s.Connections, func(a, b Connection) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Domains, func(a, b Domain) int { return strings.Compare(a.Domain, b.Domain) })
	return s
}

func TestWhatIsEncodedComesBack(t *testing.T) {
	for _, s := range []Snapshot{sample(0, 0), sample(1, 1), sample(100, 300)} {
		encoded := encode(t, s)
		files := fstest.MapFS{}
		for name, content := range encoded.Files {
			files[name] = &fstest.MapFile{Data: content}
		}
		got, revision, err := Read(files)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sorted(s), got); diff != "" {
			t.Error(diff)
		}
		if revision != encoded.Revision || len(revision) != 32 {
			t.Errorf("read revision %q, wrote %q", revision, encoded.Revision)
		}
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	s := sample(50, 50)
	want := encode(t, s)
	for range 5 {
		rand.Shuffle(len(s.Connections), func(i, j int) { s.Connections[i], s.Connections[j] = s.Connections[j], s.Connections[i] })
		rand.Shuffle(len(s.Domains), func(i, j int) { s.Domains[i], s.Domains[j] = s.Domains[j], s.Domains[i] })
		got := encode(t, s)
		if got.Revision != want.Revision || !maps.EqualFunc(got.Files, want.Files, bytes.Equal) {
			t.Fatal("the same content in another order gives other files")
		}
	}
}

func TestOneChangeRewritesOneShardAndTheIndex(t *testing.T) {
	s := sample(200, 10)
	before := encode(t, s)
	s.Connections[17].DisplayName = "Acme"
	after := encode(t, s)
	var changed []string
	for name := range after.Files {
		if !bytes.Equal(before.Files[name], after.Files[name]) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	if want := []string{IndexFile, ShardFile(ShardOf("idp-17"))}; !slices.Equal(changed, want) {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if before.Revision == after.Revision {
		t.Error("another content has the same revision")
	}
}

func TestEncodingAfterAnotherGivesTheSame(t *testing.T) {
	s := sample(100, 10)
	before := encode(t, s)
	s.Connections[17].DisplayName = "Acme"
	s.Connections = s.Connections[:90]
	got, err := EncodeAfter(before, s)
	if err != nil {
		t.Fatal(err)
	}
	if want := encode(t, s); got.Revision != want.Revision || !maps.EqualFunc(got.Files, want.Files, bytes.Equal) {
		t.Error("what was encoded before shows through")
	}
}

func TestOnlyNonEmptyShardsExist(t *testing.T) {
	encoded := encode(t, sample(1, 0))
	if got, want := slices.Sorted(maps.Keys(encoded.Files)), []string{IndexFile, ShardFile(ShardOf("idp-0"))}; !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
}

func TestARevisionIsNeverMixed(t *testing.T) {
	s := sample(100, 1)
	before := encode(t, s)
	s.Connections[3].Enabled = false
	after := encode(t, s)
	file := ShardFile(ShardOf("idp-3"))

	for name, change := range map[string]func(map[string][]byte){
		"an old shard under a new index": func(f map[string][]byte) { f[file] = before.Files[file] },
		"a new shard under an old index": func(f map[string][]byte) { f[IndexFile] = before.Files[IndexFile] },
		"a shard that has not arrived":   func(f map[string][]byte) { delete(f, file) },
		"an index that has not arrived":  func(f map[string][]byte) { delete(f, IndexFile) },
	} {
		files := maps.Clone(after.Files)
		change(files)
		_, _, err := FromFiles(files)
		if _, ok := errors.AsType[*IncompleteError](err); !ok {
			t.Errorf("%s: %v, want an IncompleteError", name, err)
		}
	}
}

func TestDamageIsRefused(t *testing.T) {
	good := encode(t, sample(5, 5))
	for name, change := range map[string]func([]byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)/2] },
		"not gzip":  func([]byte) []byte { return []byte("{}") },
		"empty":     func([]byte) []byte { return nil },
		"flipped":   func(b []byte) []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c },
	} {
		for file := range good.Files {
			files := maps.Clone(good.Files)
			files[file] = change(files[file])
			if s, _, err := FromFiles(files); err == nil {
				t.Errorf("%s %s is read as %d connections", name, file, len(s.Connections))
			}
		}
	}
}

func TestAnotherFormatIsRefusedWithTheWayOut(t *testing.T) {
	encoded := &Encoded{Files: map[string][]byte{}, digests: map[string]string{}}
	if err := encoded.add(&Encoded{}, IndexFile, index{Format: formatVersion + 1}); err != nil {
		t.Fatal(err)
	}
	_, _, err := FromFiles(encoded.Files)
	if err == nil || !strings.Contains(err.Error(), "the same version") {
		t.Errorf("got %v", err)
	}
}

func TestFiveThousandConnectionsAndDomainsFit(t *testing.T) {
	encoded := encode(t, sample(5000, 5000))
	largest, total := 0, 0
	for _, content := range encoded.Files {
		largest, total = max(largest, len(content)), total+len(content)
	}
	t.Logf("%d files, %d bytes together, the largest %d; index %d", len(encoded.Files), total, largest, len(encoded.Files[IndexFile]))
	if len(encoded.Files) != ShardCount+1 {
		t.Errorf("%d files, want %d", len(encoded.Files), ShardCount+1)
	}
}

func TestTooMuchIsRefusedWithTheWayOut(t *testing.T) {
	s := sample(1, 0)
	s.Connections[0].Trust.SigningCertificates = [][]byte{bytesOf(rand.New(rand.NewPCG(3, 4)), MaxFileBytes+1)}
	_, err := Encode(s)
	tooLarge, ok := errors.AsType[*TooLargeError](err)
	if !ok || tooLarge.Connections != 1 || !strings.Contains(err.Error(), "move some IdentityProviders to another ServiceProvider") {
		t.Errorf("a connection of more than 1 MiB: %v", err)
	}
	_, err = Encode(sample(1, 60000))
	if tooLarge, ok = errors.AsType[*TooLargeError](err); !ok || tooLarge.Domains != 60000 || !strings.Contains(err.Error(), "60000 domain bindings") {
		t.Errorf("60,000 domains: %v", err)
	}
}

func TestSecretNames(t *testing.T) {
	if got := SecretName("main", IndexFile); got != "main-snapshot-index" {
		t.Error(got)
	}
	if got := SecretName("main", ShardFile(7)); got != "main-snapshot-07" {
		t.Error(got)
	}
	if names := FileNames(); len(names) != ShardCount+1 || names[ShardCount] != IndexFile {
		t.Error(names)
	}
}

func FuzzDecode(f *testing.F) {
	s, _ := Encode(sample(1, 1))
	f.Add(s.Files[IndexFile], s.Files[ShardFile(ShardOf("idp-0"))])
	f.Fuzz(func(t *testing.T, head, shard []byte) {
		// Whatever comes: an error or a snapshot, never a panic.
		_, _, _ = Decode(func(file string) ([]byte, error) {
			if file == IndexFile {
				return head, nil
			}
			return shard, nil
		})
	})
}
