package cli

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
)

func read(t *testing.T, dir string) (snapshot.Snapshot, string) {
	t.Helper()
	s, revision, err := snapshot.Read(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return s, revision
}

func TestRenderWritesWhatAServiceProviderServes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshot")
	got := sso(t, "", "render", "-n", "sso", "-o", dir, samples)
	if got.code != exitClean {
		t.Fatalf("%+v", got)
	}
	s, revision := read(t, dir)
	if got.stdout != "revision "+revision+" in "+dir+"\n" {
		t.Errorf("stdout %q", got.stdout)
	}
	if s.ServiceProvider.URL != "https://sso.example.com" || s.ServiceProvider.Namespace != "sso" || len(s.Connections) != 1 || len(s.Domains) != 1 {
		t.Fatalf("%+v", s)
	}
	c := s.Connections[0]
	if c.Name != "acme" || c.UID == "" || c.Trust == nil || len(c.Keys) != 1 || c.Keys[0].Phase != snapshot.KeyCurrent || c.Mapping.Name != "acme" ||
		c.EntityID != "https://sso.example.com/saml/acme" {
		t.Errorf("%+v", c)
	}
	if d := s.Domains[0]; d.Domain != "acme.example" || d.Connection != "acme" || !d.Subdomains {
		t.Errorf("%+v", d)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", file.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestRenderingAgainKeepsKeysAndIdentity(t *testing.T) {
	dir := t.TempDir()
	sso(t, "", "render", "-o", dir, samples)
	first, _ := read(t, dir)
	all := ""
	for _, file := range []string{"4-serviceprovider", "3-identityprovider"} {
		content, err := os.ReadFile(samples + "/" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		all += strings.Replace(string(content), "displayName: Acme", "displayName: Acme Corp", 1) + "\n---\n"
	}
	other := strings.NewReplacer("name: acme\nspec", "name: second\nspec").Replace(all[strings.Index(all, "---")+4:])
	if got := sso(t, all+other, "render", "-o", dir, "-"); got.code != exitClean {
		t.Fatalf("%+v", got)
	}
	second, _ := read(t, dir)
	if len(second.Connections) != 2 || len(second.Domains) != 0 {
		t.Fatalf("%+v", second)
	}
	before, after := first.Connections[0], second.Connections[0]
	if after.DisplayName != "Acme Corp" || after.UID != before.UID || !bytes.Equal(after.Keys[0].PrivateKey, before.Keys[0].PrivateKey) {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	if bytes.Equal(second.Connections[1].Keys[0].PrivateKey, after.Keys[0].PrivateKey) {
		t.Error("two connections share a key")
	}
}

func TestNothingIsWrittenWhileSomethingIsWrong(t *testing.T) {
	dir := t.TempDir()
	got := sso(t, serviceProvider+twoSources, "render", "-o", dir, "-")
	if got.code != exitFindings || !strings.Contains(got.stderr, "exactly one of url, inline") || got.stdout != "" {
		t.Errorf("%+v", got)
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("%v", files)
	}
}

func TestWhatIsNotASnapshotIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, snapshot.IndexFile), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := sso(t, "", "render", "-o", dir, samples)
	if got.code != exitUsage || !strings.Contains(got.stderr, "empty the directory, or name another") {
		t.Errorf("%+v", got)
	}
}

func TestARenderedSetNeedsItsServiceProvider(t *testing.T) {
	got := sso(t, "", "render", "-o", t.TempDir(), samples+"/3-identityprovider.yaml")
	if got.code != exitUsage || !strings.Contains(got.stderr, "there is no ServiceProvider in the manifests") {
		t.Errorf("%+v", got)
	}
	got = sso(t, serviceProvider+strings.Replace(serviceProvider, "main", "other", 1), "render", "-o", t.TempDir(), "-")
	if got.code != exitUsage || !strings.Contains(got.stderr, "there are 2 ServiceProviders (default/main, default/other)") {
		t.Errorf("%+v", got)
	}
	got = sso(t, serviceProvider+strings.Replace(serviceProvider, "main", "other", 1), "render", "-o", t.TempDir(), "--service-provider", "other", "-")
	if got.code != exitClean {
		t.Errorf("%+v", got)
	}
}

func TestMetadataFromThisMachineIsOnlyFetchedWhenAllowed(t *testing.T) {
	idp := serviceProvider + strings.Replace(strings.Replace(twoSources, "      inline: <EntityDescriptor/>\n", "", 1), "https://idp.example.com/metadata", "https://127.0.0.1:1/metadata", 1)
	got := sso(t, idp, "render", "-o", t.TempDir(), "-")
	if got.code != exitFindings || !strings.Contains(got.stderr, "-:15: error: spec.saml.metadata.url: ") {
		t.Errorf("%+v", got)
	}
}

func TestMetadataIsFetchedWithItsOwnCA(t *testing.T) {
	xml := sampleMetadata(t)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(xml)) }))
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	idp := serviceProvider + strings.Replace(twoSources, "      url: https://idp.example.com/metadata\n      inline: <EntityDescriptor/>\n",
		"      url: "+server.URL+"\n      caBundle: {configMapRef: {name: ca}}\n", 1) +
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndata:\n  ca.crt: |\n    " + strings.ReplaceAll(string(authority), "\n", "\n    ") + "\n"
	dir := t.TempDir()
	if got := sso(t, idp, "render", "-o", dir, "--allow-loopback-metadata", "-"); got.code != exitClean {
		t.Fatalf("%+v", got)
	}
	if s, _ := read(t, dir); s.Connections[0].Trust.EntityID != "https://idp.acme.example/realms/acme" {
		t.Errorf("%+v", s.Connections[0].Trust)
	}
}

func TestRenderingAgainKeepsTheSignedHeadersKey(t *testing.T) {
	dir := t.TempDir()
	content, err := os.ReadFile(samples + "/4-serviceprovider.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest := strings.Replace(string(content), "spec:\n", "spec:\n  signedHeader: {}\n", 1)
	var keys [2][]snapshot.SPKey
	for i := range keys {
		if got := sso(t, manifest, "render", "-o", dir, "-"); got.code != exitClean {
			t.Fatalf("%+v", got)
		}
		s, _ := read(t, dir)
		if s.ServiceProvider.SignedHeader == nil {
			t.Fatal("no signed header")
		}
		keys[i] = s.ServiceProvider.SignedHeader.Keys
	}
	if len(keys[0]) != 1 || keys[0][0].Phase != snapshot.KeyCurrent || !bytes.Equal(keys[0][0].PrivateKey, keys[1][0].PrivateKey) {
		t.Errorf("%d keys, and then %d", len(keys[0]), len(keys[1]))
	}
}
