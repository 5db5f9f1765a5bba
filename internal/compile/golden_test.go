package compile

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

var update = flag.Bool("update", false, "write what comes out into testdata/*.out.yaml")

// TestGolden compiles testdata/X.in.yaml for the ServiceProvider main and compares with X.out.yaml. Where there is X.before.yaml,
// that is compiled first and counts as what was served before. Annotations say what the network would:
// "trust" is none, fetching, invalid, or invalid but known (good without one), "verified" is yes or no.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			in := load(t, file)
			if before := strings.Replace(file, ".in.yaml", ".before.yaml", 1); exists(before) {
				in.Previous = Compile(load(t, before)).Snapshot
			}
			got := marshal(t, Compile(in))
			golden := strings.Replace(file, ".in.yaml", ".out.yaml", 1)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s differs; go test -update writes it anew\n%s", golden, diff)
			}
		})
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func marshal(t *testing.T, out *Output) []byte {
	t.Helper()
	text, err := yaml.Marshal(struct {
		Findings []*Finding         `json:"findings"`
		Snapshot *snapshot.Snapshot `json:"snapshot"`
	}{out.Findings(), out.Snapshot})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func load(t *testing.T, file string) Input {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Name: "main", Resolved: map[string]Resolved{}, Verified: map[string]Verification{}, HeaderKeys: resolved("the signed header", "none").Keys}
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		take(t, &in, document)
	}
	return in
}

func take(t *testing.T, in *Input, document []byte) {
	t.Helper()
	var meta metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(document, &meta); err != nil {
		t.Fatal(err)
	}
	read := func(into any) {
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatal(err)
		}
	}
	switch meta.Kind {
	case v1alpha1.KindServiceProvider:
		in.ServiceProvider = &v1alpha1.ServiceProvider{}
		read(in.ServiceProvider)
	case v1alpha1.KindIdentityProvider:
		in.IdentityProviders = append(in.IdentityProviders, v1alpha1.IdentityProvider{})
		read(&in.IdentityProviders[len(in.IdentityProviders)-1])
		in.Resolved[meta.Name] = resolved(meta.Name, meta.Annotations["trust"])
	case v1alpha1.KindDomainBinding:
		in.DomainBindings = append(in.DomainBindings, v1alpha1.DomainBinding{})
		read(&in.DomainBindings[len(in.DomainBindings)-1])
		if verified, asked := meta.Annotations["verified"]; asked {
			in.Verified[meta.Name] = Verification{Verified: verified == "yes", Message: "_sallyport-challenge." + in.DomainBindings[len(in.DomainBindings)-1].Spec.Domain + ": looked up."}
		}
	case v1alpha1.KindAttributeMapping:
		in.AttributeMappings = append(in.AttributeMappings, v1alpha1.AttributeMapping{})
		read(&in.AttributeMappings[len(in.AttributeMappings)-1])
	default:
		t.Fatalf("kind %q", meta.Kind)
	}
}

func resolved(name, how string) Resolved {
	keys := []snapshot.SPKey{{Phase: snapshot.KeyCurrent, Certificate: []byte("certificate of " + name), PrivateKey: []byte("key of " + name)}}
	switch how {
	case "none":
		return Resolved{Keys: keys, Reason: v1alpha1.ReasonInvalidMetadata, Message: "spec.saml.metadata.inline: there is no IDPSSODescriptor: this is not the metadata of an IdP."}
	case "fetching":
		return Resolved{Keys: keys, Reason: v1alpha1.ReasonFetching, Message: "The metadata is being fetched."}
	case "invalid", "invalid but known":
		message := "spec.saml.metadata.manual.certificates[1]: not a PEM certificate."
		r := Resolved{Keys: keys, Invalid: message, Reason: v1alpha1.ReasonInvalidCertificate, Message: message}
		if how == "invalid but known" {
			r.Trust = resolved(name, "").Trust
		}
		return r
	}
	return Resolved{Keys: keys, Trust: &snapshot.Trust{
		EntityID:            "https://idp.example.com/" + name,
		SSO:                 []snapshot.Endpoint{{Binding: snapshot.BindingRedirect, URL: "https://idp.example.com/" + name + "/sso"}},
		SigningCertificates: [][]byte{[]byte("signing certificate of " + name)},
	}}
}
