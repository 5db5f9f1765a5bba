package offline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/resolve"
	"sallyport.dev/sallyport/internal/snapshot"
)

// Options of Check.
type Options struct {
	// Namespace of objects that name none.
	Namespace string
	// Resolver of trust.
	Resolver Resolver
	// Previous is what was served before, if anything was.
	Previous *snapshot.Snapshot
}

// Result is what is known of a set of manifests.
type Result struct {
	// Problems in reading order.
	Problems []Problem
	// Outputs by ServiceProvider.
	Outputs map[types.NamespacedName]*compile.Output
}

// objectID tells objects of our group, ConfigMaps and Secrets apart.
type objectID struct{ kind, namespace, name string }

// space is what the manifests say about one namespace.
type space struct {
	documents  map[objectID]Document
	in         compile.Input // without Name and ServiceProvider
	providers  map[string]*v1alpha1.ServiceProvider
	references references
	// partial: there is no ServiceProvider, so the rest of the set is somewhere else.
	partial bool
}

// Check validates the documents, resolves trust and compiles every ServiceProvider in them.
func Check(ctx context.Context, documents []Document, o Options) (*Result, error) {
	result := &Result{Outputs: map[types.NamespacedName]*compile.Output{}}
	spaces := map[string]*space{}
	for _, d := range documents {
		if d.Object.GetNamespace() == "" {
			d.Object.SetNamespace(o.Namespace)
		}
		namespace := d.Object.GetNamespace()
		if spaces[namespace] == nil {
			spaces[namespace] = newSpace()
		}
		problems, err := spaces[namespace].add(d)
		if err != nil {
			return nil, err
		}
		result.Problems = append(result.Problems, problems...)
	}
	for namespace, s := range spaces {
		result.Problems = append(result.Problems, s.complete(namespace)...)
		for _, name := range s.names() {
			sp := s.providers[name]
			output, problems, err := s.compile(ctx, namespace, name, sp, o)
			if err != nil {
				return nil, err
			}
			result.Outputs[types.NamespacedName{Namespace: namespace, Name: name}] = output
			result.Problems = append(result.Problems, problems...)
		}
	}
	result.Problems = sortProblems(result.Problems)
	return result, nil
}

// names are those of the ServiceProviders that there are, and of those that are referred to and missing.
func (s *space) names() []string {
	names := slices.Collect(maps.Keys(s.providers))
	for _, idp := range s.in.IdentityProviders {
		names = append(names, string(idp.Spec.ServiceProviderRef.Name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func newSpace() *space {
	return &space{
		documents:  map[objectID]Document{},
		providers:  map[string]*v1alpha1.ServiceProvider{},
		references: references{},
	}
}

// add validates one document and takes it in.
func (s *space) add(d Document) ([]Problem, error) {
	id := objectID{d.Object.GetKind(), d.Object.GetNamespace(), d.Object.GetName()}
	group := d.Object.GroupVersionKind().Group
	if group == corev1.GroupName && (id.kind == "ConfigMap" || id.kind == "Secret") {
		return s.references.add(d), nil
	}
	if group != v1alpha1.GroupName {
		return nil, nil
	}
	if first, twice := s.documents[id]; twice {
		return []Problem{d.problem(SeverityError, "Duplicate", "metadata.name", fmt.Sprintf("%s %s is in %s:%d already: remove one of the two", id.kind, id.name, first.File, first.Line("")))}, nil
	}
	problems, err := Validate(d)
	if err != nil {
		return nil, err
	}
	s.documents[id] = d
	showALabel(d, problems)
	if HasErrors(problems) {
		s.standIn(d)
		return problems, nil
	}
	if err := s.take(d); err != nil {
		return append(problems, d.problem(SeverityError, "Invalid", "", err.Error())), nil
	}
	return problems, nil
}

// showALabel says what to write in the place of a domain in Unicode: a rule of the schema cannot compute that.
func showALabel(d Document, problems []Problem) {
	spec, _ := d.Object.Object["spec"].(map[string]any)
	domain, _ := spec["domain"].(string)
	for i := range problems {
		if d.Object.GetKind() == v1alpha1.KindDomainBinding && problems[i].Field == "spec.domain" && strings.ContainsFunc(domain, func(r rune) bool { return r > unicode.MaxASCII }) {
			problems[i].Message = compile.DomainProblem(domain)
		}
	}
}

// take converts a valid document. An object from a file has no UID yet; it gets one that stays the same from run to run,
// because the store keeps what belongs to an IdentityProvider under its UID.
func (s *space) take(d Document) error {
	if d.Object.GetUID() == "" {
		name := d.Object.GetKind() + "/" + d.Object.GetNamespace() + "/" + d.Object.GetName()
		d.Object.SetUID(types.UID(uuid.NewSHA1(uuid.NameSpaceURL, []byte(v1alpha1.GroupName+"/"+name)).String()))
	}
	if d.Object.GetGeneration() == 0 {
		d.Object.SetGeneration(1)
	}
	convert := func(into any) error {
		return runtime.DefaultUnstructuredConverter.FromUnstructured(d.Object.Object, into)
	}
	switch d.Object.GetKind() {
	case v1alpha1.KindServiceProvider:
		sp := &v1alpha1.ServiceProvider{}
		s.providers[d.Object.GetName()] = sp
		return convert(sp)
	case v1alpha1.KindIdentityProvider:
		s.in.IdentityProviders = append(s.in.IdentityProviders, v1alpha1.IdentityProvider{})
		return convert(&s.in.IdentityProviders[len(s.in.IdentityProviders)-1])
	case v1alpha1.KindDomainBinding:
		s.in.DomainBindings = append(s.in.DomainBindings, v1alpha1.DomainBinding{})
		return convert(&s.in.DomainBindings[len(s.in.DomainBindings)-1])
	case v1alpha1.KindAttributeMapping:
		s.in.AttributeMappings = append(s.in.AttributeMappings, v1alpha1.AttributeMapping{})
		return convert(&s.in.AttributeMappings[len(s.in.AttributeMappings)-1])
	}
	return nil
}

// standIn puts a harmless object in the place of one that the schema refuses, so that those which refer to it are not blamed too.
func (s *space) standIn(d Document) {
	switch d.Object.GetKind() {
	case v1alpha1.KindServiceProvider:
		s.providers[d.Object.GetName()] = standInServiceProvider(d.Object.GetNamespace(), d.Object.GetName())
	case v1alpha1.KindIdentityProvider:
		spec, _ := d.Object.Object["spec"].(map[string]any)
		reference, _ := spec["serviceProviderRef"].(map[string]any)
		provider, _ := reference["name"].(string)
		s.in.IdentityProviders = append(s.in.IdentityProviders, standInIdentityProvider(d.Object.GetNamespace(), d.Object.GetName(), provider))
	}
}

func standInServiceProvider(namespace, name string) *v1alpha1.ServiceProvider {
	return &v1alpha1.ServiceProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ServiceProviderSpec{URL: "https://" + cmp.Or(name, "sso") + ".example.com"},
	}
}

func standInIdentityProvider(namespace, name, provider string) v1alpha1.IdentityProvider {
	return v1alpha1.IdentityProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.IdentityProviderSpec{ServiceProviderRef: v1alpha1.ServiceProviderReference{Name: v1alpha1.ObjectName(provider)}},
	}
}

// complete puts stand-ins where the set refers to objects that are not in it, if the set has no ServiceProvider: then it is a part,
// such as one file of many, and what it refers to is noted, not blamed.
func (s *space) complete(namespace string) []Problem {
	s.partial = len(s.providers) == 0
	if !s.partial {
		return nil
	}
	var notes []Problem
	note := func(kind, name, field, message string) {
		if d, ok := s.documents[objectID{kind, namespace, name}]; ok {
			notes = append(notes, d.problem(SeverityNote, "NotChecked", field, message))
		}
	}
	home := ""
	for _, idp := range s.in.IdentityProviders {
		provider := string(idp.Spec.ServiceProviderRef.Name)
		home = cmp.Or(home, provider)
		s.providers[provider] = standInServiceProvider(namespace, provider)
		note(v1alpha1.KindIdentityProvider, idp.Name, "spec.serviceProviderRef", fmt.Sprintf("ServiceProvider %s is not among the files: not checked", provider))
	}
	missing := func(kind, name string, reference v1alpha1.IdentityProviderReference) {
		target := string(reference.Name)
		if slices.ContainsFunc(s.in.IdentityProviders, func(idp v1alpha1.IdentityProvider) bool { return idp.Name == target && idp.UID != "" }) {
			return
		}
		note(kind, name, "spec.identityProviderRef", fmt.Sprintf("IdentityProvider %s is not among the files: not checked", target))
		if !slices.ContainsFunc(s.in.IdentityProviders, func(idp v1alpha1.IdentityProvider) bool { return idp.Name == target }) {
			s.in.IdentityProviders = append(s.in.IdentityProviders, standInIdentityProvider(namespace, target, home))
		}
	}
	for _, b := range s.in.DomainBindings {
		missing(v1alpha1.KindDomainBinding, b.Name, b.Spec.IdentityProviderRef)
	}
	for _, m := range s.in.AttributeMappings {
		missing(v1alpha1.KindAttributeMapping, m.Name, m.Spec.IdentityProviderRef)
	}
	if home == "" && len(s.in.IdentityProviders) > 0 {
		s.providers[home] = standInServiceProvider(namespace, home)
	}
	return notes
}

// compile runs the operator's compiler for one ServiceProvider.
func (s *space) compile(ctx context.Context, namespace, name string, sp *v1alpha1.ServiceProvider, o Options) (*compile.Output, []Problem, error) {
	in := s.in
	in.Name, in.ServiceProvider, in.Previous = name, sp, o.Previous
	in.Resolved = map[string]compile.Resolved{}
	var problems []Problem
	if sp != nil && sp.UID == "" {
		// A stand-in cannot say which profile attributes there are.
		for _, m := range in.AttributeMappings {
			for _, profile := range m.Spec.Profile {
				sp.Spec.ProfileAttributes = append(sp.Spec.ProfileAttributes, v1alpha1.ProfileAttribute{Name: profile.Attribute})
			}
		}
	}
	for i := range in.IdentityProviders {
		idp := &in.IdentityProviders[i]
		d, ok := s.documents[objectID{v1alpha1.KindIdentityProvider, namespace, idp.Name}]
		if sp == nil || string(idp.Spec.ServiceProviderRef.Name) != name || idp.UID == "" || !ok {
			continue
		}
		resolved, notes, err := o.Resolver.resolve(ctx, sp, idp, s.references, previousConnection(o.Previous, idp))
		if err != nil {
			return nil, nil, err
		}
		in.Resolved[idp.Name] = resolved
		for _, n := range notes {
			problems = append(problems, d.problem(SeverityNote, "NotChecked", n.field, n.message))
		}
	}
	if sp != nil {
		found, err := s.settings(ctx, namespace, sp, &in, o)
		if err != nil {
			return nil, nil, err
		}
		problems = append(problems, found...)
	}
	output := compile.Compile(in)
	for _, finding := range output.Findings() {
		// A finding without UID is about a stand-in.
		if d, ok := s.documents[objectID{finding.Kind, namespace, finding.Name}]; ok && finding.UID != "" {
			problems = append(problems, findingProblems(d, finding)...)
		}
	}
	return output, problems, nil
}

// settings resolves what the ServiceProvider itself refers to.
func (s *space) settings(ctx context.Context, namespace string, sp *v1alpha1.ServiceProvider, in *compile.Input, o Options) (problems []Problem, err error) {
	if in.HeaderKeys, err = o.Resolver.headerKeys(sp, o.Previous); err != nil {
		return nil, err
	}
	var notes []note
	if in.Sinks, notes, err = sinks(ctx, sp, s.references); err != nil {
		return nil, err
	}
	resolved, problem, err := resolve.Store(ctx, s.references, sp)
	if err != nil {
		return nil, err
	}
	if problem != nil && problem.Absent != nil {
		notes = append(notes, noteOfAbsent(problem.Absent))
	} else {
		in.Store = resolved
	}
	d, ok := s.documents[objectID{v1alpha1.KindServiceProvider, namespace, sp.Name}]
	if !ok {
		return nil, nil
	}
	// Without it no pod starts, which a cluster says in Available and not in a finding.
	_, err = resolve.Read(ctx, s.references, resolve.StoreConnection(sp))
	if problem, bad := errors.AsType[*resolve.Problem](err); bad && problem.Absent != nil {
		notes = append(notes, noteOfAbsent(problem.Absent))
	} else if bad {
		problems = append(problems, d.problem(SeverityError, problem.Reason, problem.Field, problem.Sentence))
	} else if err != nil {
		return nil, err
	}
	for _, n := range notes {
		problems = append(problems, d.problem(SeverityNote, "NotChecked", n.field, n.message))
	}
	return problems, nil
}

func previousConnection(previous *snapshot.Snapshot, idp *v1alpha1.IdentityProvider) *snapshot.Connection {
	if previous == nil {
		return nil
	}
	for i := range previous.Connections {
		if c := &previous.Connections[i]; c.Name == idp.Name && c.UID == string(idp.UID) {
			return c
		}
	}
	return nil
}

// findingProblems says what of a finding somebody has to act on.
func findingProblems(d Document, finding *compile.Finding) []Problem {
	var problems []Problem
	for _, c := range finding.Conditions {
		if c.Status != metav1.ConditionFalse {
			continue
		}
		field, message := fieldOf(c.Message)
		if c.Type == v1alpha1.ConditionExamplesPassed {
			for _, example := range finding.Examples {
				problems = append(problems, d.problem(SeverityError, c.Reason, fmt.Sprintf("spec.examples[%d]", example.Index), example.Message))
			}
			continue
		}
		sameMessage := func(p Problem) bool { return p.Field == field && p.Message == message }
		if !slices.ContainsFunc(problems, sameMessage) {
			problems = append(problems, d.problem(SeverityError, c.Reason, field, message))
		}
	}
	return problems
}

// Count returns how many of the documents are objects of our group.
func Count(documents []Document) int {
	count := 0
	for _, d := range documents {
		if d.Object.GroupVersionKind().Group == v1alpha1.GroupName {
			count++
		}
	}
	return count
}
