// Package compile turns the objects of one ServiceProvider, and the trust that was resolved for them, into the snapshot that
// its pods serve, with findings for every object. It is a pure function: the operator, `kubectl sso lint` and the tests call the same.
//
// One bad object is marked and left out, or served in its last good form; it never changes what is compiled from another.
package compile

import (
	"cmp"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// Input is everything that one snapshot is made from. The lists may hold every object of the namespace, in any order:
// what belongs to another ServiceProvider is not looked at.
type Input struct {
	// Name of the ServiceProvider.
	Name string
	// ServiceProvider is nil when there is none of that name: then there are findings and no snapshot.
	ServiceProvider   *v1alpha1.ServiceProvider
	IdentityProviders []v1alpha1.IdentityProvider
	DomainBindings    []v1alpha1.DomainBinding
	AttributeMappings []v1alpha1.AttributeMapping

	// Resolved is what is trusted of each IdentityProvider, by name. None: nothing is known yet.
	Resolved map[string]Resolved
	// Verified is the state of DNS verification of each DomainBinding that asks for it, by name. None: not proved yet.
	Verified map[string]Verification

	// Sinks is what the references of the audit sinks lead to, by name. A sink that is not in it is left out.
	Sinks map[string]ResolvedSink

	// Store is why the CA bundle of the store cannot be used; empty when it can, or when there is none. The pods read it themselves.
	Store ResolvedStore

	// HeaderKeys are the keys of the signed header. None: it is left out, whatever the spec says.
	HeaderKeys []snapshot.SPKey

	// Previous is what was served before: where an object is no longer good, its last good form is taken from here. Nil: nothing was.
	Previous *snapshot.Snapshot

	// Checks save the work that the Compile before has done already; they change nothing of what comes out. Nil: there are none.
	Checks *Checks
}

// Resolved is what is trusted of one IdentityProvider.
type Resolved struct {
	// Trust is what the pods shall trust now, fresh or the last good copy. Nil: there is none; Reason and Message say why.
	Trust *snapshot.Trust
	// Keys are our own keys for this connection.
	Keys []snapshot.SPKey
	// Invalid is a sentence that names the field of the spec that has to be changed, such as a certificate that does not parse. Empty: none.
	Invalid string
	// InvalidReason is the reason of Accepted beside Invalid. Empty: Invalid.
	InvalidReason string
	// Reason and Message of TrustEstablished while Trust is nil. ReasonFetching and ReasonPending give Unknown, every other reason False.
	Reason, Message string
}

// Refuse says what the spec has wrong. What it refers to may still come, by another commit or another operator: only that has a reason of its own.
func (r *Resolved) Refuse(reason, message string) {
	r.Invalid = message
	if reason == v1alpha1.ReasonReferenceNotFound {
		r.InvalidReason = reason
	}
}

// ResolvedStore is what the references of the store come to.
type ResolvedStore struct {
	// Reason and Message say what is wrong; the message names the field. Both are empty when all is well.
	Reason, Message string
}

// Verification is the state of DNS verification of one DomainBinding.
type Verification struct {
	Verified bool
	// Reason and Message of the condition Verified.
	Reason, Message string
}

// Output is what was compiled.
type Output struct {
	// Snapshot is nil when there is nothing that could be served: no ServiceProvider, or one that is not valid and never was.
	Snapshot *snapshot.Snapshot
	findings map[objectKey]*Finding
	previous *snapshot.Snapshot
}

type objectKey struct{ kind, name string }

// Finding returns what was found about one object, or nil when it belongs to another ServiceProvider.
func (o *Output) Finding(kind, name string) *Finding { return o.findings[objectKey{kind, name}] }

// Findings returns every finding, sorted by kind (ServiceProvider, IdentityProvider, DomainBinding, AttributeMapping) and name.
func (o *Output) Findings() []*Finding {
	order := []string{v1alpha1.KindServiceProvider, v1alpha1.KindIdentityProvider, v1alpha1.KindDomainBinding, v1alpha1.KindAttributeMapping}
	all := make([]*Finding, 0, len(o.findings))
	for _, f := range o.findings {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// pass holds one run of the compiler.
type pass struct {
	in     Input
	out    *Output
	own    map[string]*v1alpha1.IdentityProvider // the ServiceProvider's, by name
	others map[string]bool                       // names of those of other ServiceProviders

	connections map[string]*snapshot.Connection
	previous    map[string]*snapshot.Connection // by name
	checked     map[digest]checked
}

// Compile makes the snapshot of one ServiceProvider. The same objects give the same output, in whatever order they come.
func Compile(in Input) *Output {
	p := &pass{
		in:          in,
		out:         &Output{previous: in.Previous, findings: make(map[objectKey]*Finding, len(in.IdentityProviders)+len(in.DomainBindings)+len(in.AttributeMappings)+1)},
		own:         map[string]*v1alpha1.IdentityProvider{},
		others:      map[string]bool{},
		connections: map[string]*snapshot.Connection{},
		previous:    map[string]*snapshot.Connection{},
		checked:     map[digest]checked{},
	}
	if p.in.Checks == nil {
		p.in.Checks = &Checks{}
	}
	for i := range in.IdentityProviders {
		idp := &in.IdentityProviders[i]
		if string(idp.Spec.ServiceProviderRef.Name) == in.Name {
			p.own[idp.Name] = idp
		} else {
			p.others[idp.Name] = true
		}
	}
	if in.Previous != nil {
		for i := range in.Previous.Connections {
			p.previous[in.Previous.Connections[i].Name] = &in.Previous.Connections[i]
		}
	}
	serviceProvider := p.serviceProvider()
	p.identityProviders(serviceProvider)
	domains := p.domainBindings()
	p.attributeMappings(serviceProvider)
	p.in.Checks.known = p.checked
	if serviceProvider != nil {
		p.out.Snapshot = &snapshot.Snapshot{ServiceProvider: *serviceProvider, Connections: p.sortedConnections(), Domains: domains}
	}
	for _, f := range p.out.findings {
		f.sort()
	}
	return p.out
}

func (p *pass) sortedConnections() []snapshot.Connection {
	if len(p.connections) == 0 {
		return nil
	}
	sorted := make([]snapshot.Connection, 0, len(p.connections))
	for _, name := range slices.Sorted(maps.Keys(p.connections)) {
		sorted = append(sorted, *p.connections[name])
	}
	return sorted
}

// finding starts the finding of one object.
func (p *pass) finding(kind string, object metav1.Object) *Finding {
	f := &Finding{Kind: kind, Name: object.GetName(), UID: object.GetUID(), Generation: object.GetGeneration(), Created: object.GetCreationTimestamp().Time,
		Conditions: make([]Condition, 0, len(v1alpha1.ConditionTypes(kind)))}
	p.out.findings[objectKey{kind, object.GetName()}] = f
	return f
}

// byAge sorts objects so that the first one wins a conflict: the oldest, then by name.
func byAge[T metav1.Object](objects []T) []T {
	sorted := slices.Clone(objects)
	slices.SortFunc(sorted, func(a, b T) int {
		return cmp.Or(a.GetCreationTimestamp().Time.Compare(b.GetCreationTimestamp().Time), cmp.Compare(a.GetName(), b.GetName()))
	})
	return sorted
}

func terminating(object metav1.Object) bool { return object.GetDeletionTimestamp() != nil }

func uid(id types.UID) string { return string(id) }
