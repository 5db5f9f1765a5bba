package compile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// Serving says in what form an object is in the snapshot.
type Serving string

const (
	// ServingCurrent: this generation is in the snapshot.
	ServingCurrent Serving = "Current"
	// ServingLastGood: an older generation is, because this one is not good.
	ServingLastGood Serving = "LastGood"
	// ServingNothing: the object is left out.
	ServingNothing Serving = "Nothing"
)

// Condition is a condition without its times: those are the operator's.
type Condition struct {
	Type    string                 `json:"type"`
	Status  metav1.ConditionStatus `json:"status"`
	Reason  string                 `json:"reason"`
	Message string                 `json:"message"`
}

// Finding is what was found about one object. Conditions are those that follow from objects and trust alone: Accepted on every kind,
// TrustEstablished on an IdentityProvider, Verified on a DomainBinding, ExamplesPassed on an AttributeMapping. Messages are stable:
// the same state gives the same words.
type Finding struct {
	Kind       string    `json:"kind"`
	Name       string    `json:"name"`
	UID        types.UID `json:"uid,omitempty"`
	Generation int64     `json:"generation,omitempty"`

	Serving    Serving     `json:"serving"`
	Conditions []Condition `json:"conditions"`

	// Winner is the name of the object of the same kind that a conflict was lost to.
	Winner string `json:"winner,omitempty"`
	// Bindings are the names of the DomainBindings that refer to an IdentityProvider, sorted; those being deleted do not count.
	Bindings []string `json:"bindings,omitempty"`
	// Examples of an AttributeMapping that failed.
	Examples []ExampleFailure `json:"examples,omitempty"`

	Created time.Time `json:"-"`
}

// ExampleFailure says what came out of an example instead.
type ExampleFailure struct {
	Index   int    `json:"index"`
	Message string `json:"message"`
}

// Condition returns the condition of that type, or nil.
func (f *Finding) Condition(conditionType string) *Condition {
	i := slices.IndexFunc(f.Conditions, func(c Condition) bool { return c.Type == conditionType })
	if i < 0 {
		return nil
	}
	return &f.Conditions[i]
}

// Accepted says whether the object is valid and conflicts with nothing.
func (f *Finding) Accepted() bool {
	c := f.Condition(v1alpha1.ConditionAccepted)
	return c != nil && c.Status == metav1.ConditionTrue
}

func (f *Finding) set(conditionType string, status metav1.ConditionStatus, reason, format string, args ...any) {
	c := Condition{Type: conditionType, Status: status, Reason: reason, Message: format}
	if len(args) > 0 {
		c.Message = fmt.Sprintf(format, args...)
	}
	if existing := f.Condition(conditionType); existing != nil {
		*existing = c
		return
	}
	f.Conditions = append(f.Conditions, c)
}

// sort puts the conditions into the order in which the kind lists them.
func (f *Finding) sort() {
	order := v1alpha1.ConditionTypes(f.Kind)
	slices.SortFunc(f.Conditions, func(a, b Condition) int { return slices.Index(order, a.Type) - slices.Index(order, b.Type) })
}

func (f *Finding) accept() {
	f.set(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "The spec is valid.")
	f.Serving = ServingCurrent
}

// refuse marks the object and leaves it out; who serves it all the same says so afterwards.
func (f *Finding) refuse(reason, format string, args ...any) {
	f.set(v1alpha1.ConditionAccepted, metav1.ConditionFalse, reason, format, args...)
	f.Serving = ServingNothing
}

// wait marks the object as not decided, because of another object.
func (f *Finding) wait(reason, format string, args ...any) {
	f.set(v1alpha1.ConditionAccepted, metav1.ConditionUnknown, reason, format, args...)
	f.Serving = ServingNothing
}

func (f *Finding) waitForIdentityProvider(name string) {
	f.wait(v1alpha1.ReasonIdentityProviderNotAccepted, "IdentityProvider %s is not accepted: its own conditions say what to do.", name)
}

// few lists at most three of them, then how many more there are.
func few(items []string, separator string) string {
	const most = 3
	if len(items) <= most {
		return strings.Join(items, separator)
	}
	return fmt.Sprintf("%s%sand %d more", strings.Join(items[:most], separator), separator, len(items)-most)
}
