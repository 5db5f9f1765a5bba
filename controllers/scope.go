package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/tracing"
)

// scope is everything that one pass has read and found out. Each field says which step sets it.
type scope struct {
	key    types.NamespacedName
	now    time.Time // one time for the whole pass
	memory *memory
	// heard is when the operator heard of what this pass looks at; zero: nothing has changed, or another pass has taken it up.
	heard time.Time

	// collect. The objects are the cache's own: they are read and never changed.
	serviceProvider *v1alpha1.ServiceProvider // nil: there is none of that name
	idps            []v1alpha1.IdentityProvider
	bindings        []v1alpha1.DomainBinding
	mappings        []v1alpha1.AttributeMapping
	bindingsOf      map[string][]*v1alpha1.DomainBinding  // by the name of the IdentityProvider; see bound
	idpsByName      map[string]*v1alpha1.IdentityProvider // see idpNamed
	follows         bool                                  // there is a ServiceProvider in the namespace that comes before this one; see tells

	// hold: those that the next pass looks at
	unheld sets.Set[types.UID]

	// resolve. contents are those of the Secrets and ConfigMaps that were read in this pass, by kind and name.
	contents map[string]map[string][]byte
	resolved map[string]compile.Resolved
	trust    map[string]*trustState
	// headerKeys are those of the signed header, where it is wanted
	headerKeys []snapshot.SPKey

	// verify. domainKey makes the values of TXT records; nil: no domain asks for proof, or noDomainKey says why there is none. records are those to write, by the name of
	// the binding.
	domainKey   []byte
	noDomainKey string
	records     map[string]*v1alpha1.VerificationRecord
	verified    map[string]compile.Verification

	// compile. before is what was published when the pass began, and wanted what shall be.
	output  *compile.Output
	before  *served
	wanted  *served
	encoded *snapshot.Encoded

	// recordChanges: it is done. A pass that does not get so far does it before statuses
	changesTold bool

	// publish: the index was written in this pass
	publishedNow bool

	// acknowledge. ready are the pods that are ready.
	programmed programmed
	counts     *manageapi.Stats // nil: nobody has counted yet
	storeDown  bool
	// storeProblem is why, as a pod says it: see manageapi.Revision.
	storeProblem string
	ready        []*corev1.Pod
	whyUnready   string // when no pod is ready; empty: nobody has said

	// undo: the IdentityProviders of which the service provider has undone everything, or is doing it when there is no ServiceProvider any more
	undone, undoing map[types.UID]bool

	// statuses: the certificates that somebody has to replace one day
	expiring []expiring

	// blocked is why a step could not be done, when a person has to mend that.
	blocked *blockedError

	mutex        sync.Mutex
	requeueAfter time.Duration
	alarm        time.Time
	// left is true when there are statuses that the next pass has to write; firstHold, firstKey and firstCopy are when this one began to write those.
	left                           bool
	firstHold, firstKey, firstCopy time.Time
}

// later asks for another pass in d, or sooner if something else asked for that.
func (s *scope) later(d time.Duration) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if d = max(d, time.Millisecond); s.requeueAfter == 0 || d < s.requeueAfter {
		s.requeueAfter = d
	}
}

// laterAt asks for another pass at a time; the zero time asks for nothing.
func (s *scope) laterAt(at time.Time) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !at.IsZero() && (s.alarm.IsZero() || at.Before(s.alarm)) {
		s.alarm = at
	}
}

// step is one part of a pass. A step that fails ends the pass, and the pass is tried again with back-off.
type step struct {
	name string
	run  func(context.Context, *scope) error
}

func (s *scope) run(ctx context.Context, steps []step) error {
	for _, step := range steps {
		ctx, span := tracing.Start(ctx, "operator."+strings.ReplaceAll(step.name, " ", "_"))
		err := step.run(ctx, s)
		if err != nil {
			span.Failed()
		}
		span.End()
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}
