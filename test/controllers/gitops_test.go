package controllers

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// gitOps holds the rules that we give to Argo CD and to Flux, by kind.
type gitOps struct {
	t testing.TB
	// scripts are Argo CD's, as they are in its ConfigMap.
	scripts map[string]string
	// failed and current are Flux's.
	failed, current map[string]cel.Program
}

// newGitOps reads the rules as the tools do: Argo CD's after the patch that the guide says, Flux's from the sample repository.
func newGitOps(t testing.TB) *gitOps {
	t.Helper()
	g := &gitOps{t: t, scripts: map[string]string{}, failed: map[string]cel.Program{}, current: map[string]cel.Program{}}
	merged := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(t), Name: "argocd-cm"}, Data: map[string]string{"url": "https://argocd.example.com"}}
	create(t, merged)
	kubectl(t, "patch", "configmap", merged.Name, "-n", merged.Namespace, "--patch-file", filepath.Join(root, "config", "argocd", "argocd-cm.yaml"))
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(merged), merged); err != nil {
		t.Fatal(err)
	}
	if merged.Data["url"] == "" {
		t.Error("the patch has taken away what was in Argo CD's ConfigMap")
	}
	for key, script := range merged.Data {
		if kind, found := strings.CutPrefix(key, "resource.customizations.health.sso.sallyport.dev_"); found {
			g.scripts[kind] = script
		}
	}

	content, err := os.ReadFile(filepath.Join(root, "docs", "examples", "gitops", "clusters", "prod", "sso.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []struct{ APIVersion, Kind, Current, Failed string } `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(content, &kustomization); err != nil {
		t.Fatal(err)
	}
	for _, e := range kustomization.Spec.HealthCheckExprs {
		if e.APIVersion != v1alpha1.GroupVersion.String() {
			t.Errorf("Flux is told of %s", e.APIVersion)
		}
		g.failed[e.Kind], g.current[e.Kind] = fluxProgram(t, e.Failed), fluxProgram(t, e.Current)
	}
	return g
}

// fluxProgram prepares an expression in the environment of Flux's controllers: parsed only, with these libraries.
func fluxProgram(t testing.TB, expression string) cel.Program {
	t.Helper()
	environment, err := cel.NewEnv(cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders())
	if err != nil {
		t.Fatal(err)
	}
	parsed, issues := environment.Parse(expression)
	if issues != nil {
		t.Fatal(issues)
	}
	program, err := environment.Program(parsed, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// argoCD is what Argo CD shows. It asks no script about an object that is being deleted, and gives a script a second, no files and no network.
func (g *gitOps) argoCD(u *unstructured.Unstructured) (health, message string) {
	g.t.Helper()
	if u.GetDeletionTimestamp() != nil {
		return "Progressing", "Pending deletion"
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			g.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", luaValue(state, u.Object))
	if err := state.DoString(g.scripts[u.GetKind()]); err != nil {
		g.t.Fatalf("the script for %s: %v", u.GetKind(), err)
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		g.t.Fatalf("the script for %s returns %s", u.GetKind(), state.Get(-1).Type())
	}
	return answer.RawGetString("status").String(), answer.RawGetString("message").String()
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case bool:
		return lua.LBool(v)
	case string:
		return lua.LString(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case []any:
		list := state.CreateTable(len(v), 0)
		for _, item := range v {
			list.Append(luaValue(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(v))
		for key, item := range v {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	}
	return lua.LNil
}

// flux is what a Flux Kustomization with healthCheckExprs waits for, in the order of its RFC 0009.
func (g *gitOps) flux(u *unstructured.Unstructured) status.Status {
	g.t.Helper()
	if observed, found, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); err != nil || found && observed != u.GetGeneration() {
		return status.InProgressStatus
	}
	for _, c := range []struct {
		program cel.Program
		means   status.Status
	}{{g.failed[u.GetKind()], status.FailedStatus}, {g.current[u.GetKind()], status.CurrentStatus}} {
		value, _, err := c.program.Eval(u.Object)
		if err != nil {
			g.t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
		if value.Value() == true {
			return c.means
		}
	}
	return status.InProgressStatus
}

// shows asserts what the three tools make of the object as it is on the API server: Argo CD, Flux with our expressions, and kstatus by itself.
func (g *gitOps) shows(object client.Object, when, argoCD string, flux, kstatus status.Status) {
	g.t.Helper()
	u := asUnstructured(g.t, object)
	health, message := g.argoCD(u)
	if health != argoCD || message == "" {
		g.t.Errorf("%s: Argo CD shows %s %s as %s (%s), not %s", when, u.GetKind(), u.GetName(), health, message, argoCD)
	}
	if got := g.flux(u); got != flux {
		g.t.Errorf("%s: to Flux %s %s is %s, not %s", when, u.GetKind(), u.GetName(), got, flux)
	}
	if got := gitOpsStatus(g.t, u); got != kstatus {
		g.t.Errorf("%s: kstatus computes %s for %s %s, not %s", when, got, u.GetKind(), u.GetName(), kstatus)
	}
}

// asUnstructured reads the object with its kind, as tools that know nothing of our types do.
func asUnstructured(t testing.TB, object client.Object) *unstructured.Unstructured {
	t.Helper()
	kinds, _, err := objects.ObjectKinds(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kinds[0])
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), u); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestGitOpsToolsSeeEveryState takes objects of all kinds through what can happen to them, and asks the tools at every station.
func TestGitOpsToolsSeeEveryState(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	g := newGitOps(t)
	sp, idp, binding, mapping := serviceProvider(ns), identityProvider(ns, "okta", inline(t)), domainBinding(ns, "acme", "acme.example", "okta"), attributeMapping(ns, "okta", "okta")
	all := []client.Object{sp, idp, binding, mapping}
	create(t, all...)
	for _, object := range all {
		g.shows(object, "before the operator's first visit", "Progressing", status.InProgressStatus, status.InProgressStatus)
	}

	o := newOperator(t, ns)
	for _, object := range all {
		await(t, object, "Ready", isFalse, "NoReadyPods")
		g.shows(object, "without a pod", "Progressing", status.InProgressStatus, status.InProgressStatus)
	}
	p := newPod(t, ns, "main")
	for _, object := range all {
		await(t, object, "Ready", isTrue, "Serving")
		g.shows(object, "served", "Healthy", status.CurrentStatus, status.CurrentStatus)
	}

	o.stop()
	idp.Spec.DisplayName = "Acme of old"
	update(t, idp)
	g.shows(idp, "changed and not looked at", "Progressing", status.InProgressStatus, status.InProgressStatus)
	o.start()
	await(t, idp, "Ready", isTrue, "Serving")

	idp.Spec.State = v1alpha1.StateDisabled
	update(t, idp)
	await(t, idp, "Ready", isFalse, "Disabled")
	g.shows(idp, "disabled on purpose", "Suspended", status.CurrentStatus, status.InProgressStatus)
	idp.Spec.State = v1alpha1.StateEnabled
	update(t, idp)
	await(t, idp, "Ready", isTrue, "Serving")

	g.mustBeMended(ns, idp, mapping)
	waiting := domainBinding(ns, "early", "early.example", "not-yet")
	create(t, waiting)
	await(t, waiting, "Ready", isFalse, "IdentityProviderNotFound")
	g.shows(waiting, "ahead of what it refers to", "Progressing", status.InProgressStatus, status.InProgressStatus)
	unfed := identityProvider(ns, "unfed", v1alpha1.MetadataSource{FromSecret: &v1alpha1.SecretKeyReference{Name: "not-yet"}})
	create(t, unfed)
	await(t, unfed, "Ready", isFalse, "ReferenceNotFound")
	g.shows(unfed, "ahead of the Secret with its metadata", "Progressing", status.InProgressStatus, status.InProgressStatus)

	p.setStore(false)
	await(t, sp, "Ready", isFalse, "StoreUnavailable")
	g.shows(sp, "without its store", "Degraded", status.FailedStatus, status.InProgressStatus)
	p.setStore(true)
	await(t, sp, "Ready", isTrue, "Serving")

	remove(t, idp)
	await(t, idp, "DeletionBlocked", isTrue, "DomainsBound")
	u := asUnstructured(t, idp)
	if health, _ := g.argoCD(u); health != "Progressing" || gitOpsStatus(t, u) != status.TerminatingStatus {
		t.Errorf("pruned under its domain it is %s to Argo CD, and kstatus computes %s", health, gitOpsStatus(t, u))
	}
	remove(t, binding)
	awaitGone(t, patience, idp)
}

// mustBeMended breaks an object of each kind that a commit can break, and mends it.
func (g *gitOps) mustBeMended(ns string, idp *v1alpha1.IdentityProvider, mapping *v1alpha1.AttributeMapping) {
	g.t.Helper()
	good := idp.Spec.SAML.Metadata
	idp.Spec.SAML.Metadata = v1alpha1.MetadataSource{Inline: "<html/>"}
	update(g.t, idp)
	await(g.t, idp, "Accepted", isFalse, "Invalid")
	g.shows(idp, "with metadata that is none", "Degraded", status.FailedStatus, status.InProgressStatus)
	idp.Spec.SAML.Metadata = good
	update(g.t, idp)
	await(g.t, idp, "Ready", isTrue, "Serving")

	await(g.t, mapping, "Ready", isTrue, "Serving")
	mapping.Spec.Examples[0].Expect.Email = "bob@acme.example"
	update(g.t, mapping)
	await(g.t, mapping, "Ready", isFalse, "ExampleFailed")
	g.shows(mapping, "with an example that fails", "Degraded", status.FailedStatus, status.InProgressStatus)
	mapping.Spec.Examples[0].Expect.Email = "alice@acme.example"
	update(g.t, mapping)
	await(g.t, mapping, "Ready", isTrue, "Serving")

	second := domainBinding(ns, "second", "acme.example", "okta")
	create(g.t, second)
	await(g.t, second, "Ready", isFalse, "Conflicted")
	g.shows(second, "with a domain that is bound already", "Degraded", status.FailedStatus, status.InProgressStatus)
	remove(g.t, second)
	awaitGone(g.t, patience, second)
}

// TestArgoCDAndFluxAgreeOnEveryReason holds the two lists together: one reason must not stop the one and be waited for by the other.
func TestArgoCDAndFluxAgreeOnEveryReason(t *testing.T) {
	t.Parallel()
	g := newGitOps(t)
	same := map[string]status.Status{"Healthy": status.CurrentStatus, "Suspended": status.CurrentStatus, "Progressing": status.InProgressStatus, "Degraded": status.FailedStatus}
	failing := 0
	for _, kind := range []string{v1alpha1.KindServiceProvider, v1alpha1.KindIdentityProvider, v1alpha1.KindDomainBinding, v1alpha1.KindAttributeMapping} {
		for _, reason := range reasons(t) {
			for _, truth := range []string{"True", "False", "Unknown"} {
				content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.IdentityProvider{Status: v1alpha1.IdentityProviderStatus{ObservedGeneration: 1}})
				if err != nil {
					t.Fatal(err)
				}
				u := &unstructured.Unstructured{Object: content}
				u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
				u.SetGeneration(1)
				if err := unstructured.SetNestedSlice(u.Object, []any{map[string]any{"type": "Ready", "status": truth, "reason": reason, "message": "m"}}, "status", "conditions"); err != nil {
					t.Fatal(err)
				}
				health, _ := g.argoCD(u)
				if flux := g.flux(u); flux != same[health] {
					t.Errorf("%s with Ready=%s (%s) is %s to Argo CD and %s to Flux", kind, truth, reason, health, flux)
				}
				if health == "Degraded" {
					failing++
				}
			}
		}
	}
	if failing < 4*10 {
		t.Errorf("only %d states are Degraded", failing)
	}
}

// reasons are the constants of the API.
func reasons(t testing.TB) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api", "v1alpha1", "conditions.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Reason") {
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(fmt.Errorf("%s: %w", spec.Names[0].Name, err))
				}
				all = append(all, text)
			}
		}
		return true
	})
	if len(all) < 40 {
		t.Fatalf("only %d reasons were found", len(all))
	}
	return all
}
