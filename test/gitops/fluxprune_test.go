package gitops

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"sallyport.dev/sallyport/test/internal/await"
)

// inUse is what the admission policy says of the sample's identity provider under its domains.
const inUse = "IdentityProvider acme still has 2 domain bindings (acme-example, acme-test): delete or rebind them first."

// acmes is what Flux prunes of Acme, in its order: kinds from the end of the alphabet. An identity provider goes before its domains.
var acmes = []string{acme, "DomainBinding/sso/acme-test", "DomainBinding/sso/acme-example", acmeMapping}

// TestFluxPrunes takes Acme out of the repository, and then everything, under both settings of the policy. Under Deny the deletion of the identity provider is
// refused, and accepted when Flux tries again, since its domains have gone meanwhile.
func TestFluxPrunes(t *testing.T) {
	for _, setting := range []string{"Warn", "Deny"} {
		t.Run(setting, func(t *testing.T) {
			f := newFlux(t)
			f.begins()
			setPolicy(t, setting)

			left := slices.DeleteFunc(f.sample(), func(o *unstructured.Unstructured) bool { return strings.HasPrefix(o.GetName(), "acme") })
			f.prunes(setting, left, acmes)
			f.settles("without Acme", left)
			f.does("with Acme again", f.sample(), ssa.CreatedAction, main+" unchanged", ns+" unchanged")
			f.settles("with Acme again", f.sample())
			f.prunes(setting, nil, append([]string{main}, acmes...))
		})
	}
}

// begins applies the sample for the first time, with everything running that it needs, and waits until it is served.
func (f *flux) begins() {
	f.t.Helper()
	collect(f.t)
	runOperator(f.t)
	f.apply([]*unstructured.Unstructured{named(f.t, f.sample(), ns)}) // it outlives the others
	f.does("at first", f.sample(), ssa.CreatedAction, ns+" unchanged")
	runServiceProvider(f.t)
	f.settles("at first", f.sample())
}

// prunes takes everything but these objects away, and holds what is pruned in the first pass, and that it all goes in the end.
func (f *flux) prunes(setting string, left []*unstructured.Unstructured, want []string) {
	f.t.Helper()
	changes, err := f.prune(left)
	var pruned []string
	for _, c := range changes.Entries {
		switch {
		case c.Action == ssa.SkippedAction && c.Subject == ns:
		case c.Subject == acme && setting == "Deny" && c.Action == ssa.UnknownAction, c.Action == ssa.DeletedAction:
			pruned = append(pruned, c.Subject)
		default:
			f.t.Errorf("under %s: %s", setting, c)
		}
	}
	if !slices.Equal(pruned, want) {
		f.t.Errorf("under %s pruned are %v, want %v", setting, pruned, want)
	}
	if setting == "Deny" {
		if err == nil || !strings.Contains(err.Error(), inUse) || utils.FmtUnstructured(f.inventory[len(f.inventory)-1]) != acme {
			f.t.Errorf("under Deny: %v", err)
		}
		var again *ssa.ChangeSet
		await.Until(f.t, "what was refused is pruned", func() bool { again, err = f.prune(left); return err == nil })
		changes.Append(again.Entries)
	} else if err != nil {
		f.t.Errorf("under Warn: %v", err)
	}
	if err := f.manager.WaitForSetTermination(changes, ssa.WaitOptions{Interval: pollInterval, Timeout: patience}); err != nil {
		f.t.Fatalf("under %s: %v", setting, err)
	}
}
