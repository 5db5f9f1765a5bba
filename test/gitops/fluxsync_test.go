package gitops

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// cycles is how often Flux looks again at what has not changed.
const cycles = 3

const (
	acme        = "IdentityProvider/sso/acme"
	acmeMapping = "AttributeMapping/sso/acme"
	main        = "ServiceProvider/sso/main"
	ns          = "Namespace/sso"
	configured  = " configured"
)

// TestFluxKeepsTheSampleInSync takes the sample through what a repository goes through.
func TestFluxKeepsTheSampleInSync(t *testing.T) {
	f := newFlux(t)
	f.begins()

	changed := f.sample()
	set(t, named(t, changed, acme), "Acme Inc.", "spec", "displayName")
	f.does("with one field changed", changed, ssa.UnchangedAction, acme+configured)
	f.settles("with one field changed", changed)

	byHand := live(t, named(t, changed, acme))
	before := byHand.DeepCopy()
	set(t, byHand, "Mallory", "spec", "displayName")
	set(t, byHand, "Generic", "spec", "type")
	if err := machine.Client.Patch(t.Context(), byHand, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	f.does("changed by hand", changed, ssa.UnchangedAction, acme+configured)
	f.settles("put back", changed)

	set(t, named(t, changed, acme), "Disabled", "spec", "state")
	f.does("disabled on purpose", changed, ssa.UnchangedAction, acme+configured)
	f.settles("disabled on purpose", changed)

	broken := f.sample()
	examples, _, err := unstructured.NestedSlice(named(t, broken, acmeMapping).Object, "spec", "examples")
	if err != nil {
		t.Fatal(err)
	}
	examples[0].(map[string]any)["expect"].(map[string]any)["email"] = "bob@acme.example"
	set(t, named(t, broken, acmeMapping), examples, "spec", "examples")
	f.does("with an example that fails", broken, ssa.UnchangedAction, acme+configured, acmeMapping+configured)
	if err := f.wait(broken); err == nil || !strings.Contains(err.Error(), "failed early due to stalled resources: ["+acmeMapping+" status: 'Failed'") {
		t.Errorf("with an example that fails: %v", err)
	}
	f.does("mended", f.sample(), ssa.UnchangedAction, acmeMapping+configured)
	f.settles("mended", f.sample())
	f.prunes("Warn", nil, append([]string{main}, acmes...)) // nobody refuses where there is no policy
}

// does applies the objects, and holds what is done to each: one action to all but those that are named with theirs.
func (f *flux) does(when string, objects []*unstructured.Unstructured, all ssa.Action, but ...string) {
	f.t.Helper()
	want := map[string]ssa.Action{}
	for _, o := range objects {
		want[utils.FmtUnstructured(o)] = all
	}
	for _, b := range but {
		name, action, _ := strings.Cut(b, " ")
		want[name] = ssa.Action(action)
	}
	if got := f.apply(objects); !maps.Equal(got, want) {
		f.t.Errorf("%s: %v", when, got)
	}
	if _, err := f.prune(objects); err != nil {
		f.t.Errorf("%s: %v", when, err)
	}
}

// settles waits until the objects are ready, and holds that Flux changes nothing in the cycles after, and sees no drift.
func (f *flux) settles(when string, objects []*unstructured.Unstructured) {
	f.t.Helper()
	if err := f.wait(objects); err != nil {
		f.t.Fatalf("%s: %v", when, err)
	}
	var spec []string
	for _, o := range objects {
		is := live(f.t, o)
		if !utils.IsNamespace(o) { // it outlives the tests, and has been another tool's
			f.ownsAll(is)
		}
		spec = append(spec, owned(f.t, is))
	}
	for range cycles {
		f.does(when, objects, ssa.UnchangedAction)
		for i, o := range objects {
			entry, is, wants, err := f.manager.Diff(f.ctx, o.DeepCopy(), ssa.DefaultDiffOptions())
			if err != nil || entry.Action != ssa.UnchangedAction {
				f.t.Errorf("%s: %v (%v)\nis:    %v\nwants: %v", when, entry, err, is, wants)
			}
			if now := owned(f.t, live(f.t, o)); now != spec[i] {
				f.t.Errorf("%s: somebody has written %s.\nbefore: %s\nafter:  %s", when, utils.FmtUnstructured(o), spec[i], now)
			}
		}
	}
}

// ownsAll holds that nobody else has written anything but finalizers and the status.
func (f *flux) ownsAll(o *unstructured.Unstructured) {
	f.t.Helper()
	for _, m := range o.GetManagedFields() {
		set := &fieldpath.Set{}
		if err := set.FromJSON(strings.NewReader(m.FieldsV1.String())); err != nil {
			f.t.Fatal(err)
		}
		set.Leaves().Iterate(func(path fieldpath.Path) {
			if m.Manager != fluxManager && m.Subresource == "" && !strings.HasPrefix(path.String(), ".metadata.finalizers") {
				f.t.Errorf("%s of %s is %s's", path, utils.FmtUnstructured(o), m.Manager)
			}
		})
	}
}

// owned is who has written what of the object besides its status.
func owned(t *testing.T, o *unstructured.Unstructured) string {
	t.Helper()
	var all []string
	for _, m := range o.GetManagedFields() {
		if m.Subresource == "" {
			all = append(all, m.Manager+" "+string(m.Operation)+" "+m.FieldsV1.String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func set(t *testing.T, o *unstructured.Unstructured, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		t.Fatal(err)
	}
}

func named(t *testing.T, objects []*unstructured.Unstructured, name string) *unstructured.Unstructured {
	t.Helper()
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return utils.FmtUnstructured(o) == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return objects[i]
}

// live is the object as the API server has it.
func live(t *testing.T, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(o.GroupVersionKind())
	if err := machine.Client.Get(t.Context(), client.ObjectKeyFromObject(o), now); err != nil {
		t.Fatal(err)
	}
	return now
}
