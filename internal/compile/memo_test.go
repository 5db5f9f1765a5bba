package compile

import (
	"fmt"
	"reflect"
	"testing"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/identity"
)

// TestWhatIsRememberedOfDomainsIsWhatTheyAre asks twice, in two orders, and again when more domains were asked for than are remembered.
func TestWhatIsRememberedOfDomainsIsWhatTheyAre(t *testing.T) {
	domains := []string{"a.example", "A.example", "a.example.", "com", "co.uk", "bücher.example", "xn--bcher-kva.example", "", "-a.example", "a..example", "b.example", "localhost", "127.0.0.1"}
	ask := func() {
		t.Helper()
		for _, domain := range domains {
			reason, problem := domainProblemOf(domain)
			for range 2 {
				if r, p := domainProblem(domain); r != reason || p != problem {
					t.Errorf("%q: %s %q, want %s %q", domain, r, p, reason, problem)
				}
			}
		}
	}
	ask()
	for i := range mostGood + 10 {
		domainProblem(fmt.Sprintf("d%d.example", i))
		if n := len(good.domains); n > mostGood {
			t.Fatalf("%d domains are remembered", n)
		}
	}
	ask()
}

func TestEveryTypeHasItsOwnPreset(t *testing.T) {
	for _, idpType := range []string{string(v1alpha1.TypeOkta), string(v1alpha1.TypeEntraID), string(v1alpha1.TypeGoogleWorkspace), string(v1alpha1.TypeADFS),
		string(v1alpha1.TypeKeycloak), string(v1alpha1.TypeGeneric), "one that there will be"} {
		if got, want := preset(idpType), identity.Preset(idpType); !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %v, want %v", idpType, got, want)
		}
	}
	// What a mapping is laid over must stay as it is: the next connection has it too.
	Compile(large())
	if got, want := preset(string(v1alpha1.TypeGeneric)), identity.Preset(string(v1alpha1.TypeGeneric)); !reflect.DeepEqual(got, want) {
		t.Errorf("a mapping has changed the preset to %v", got)
	}
}
