package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/trust"
)

// memory is what is known of one ServiceProvider from pass to pass. All of it can be found out again: a restart loses time, not state.
// Only one pass at a time has a ServiceProvider, so only what watches touch is locked.
type memory struct {
	// recalled is true once what an earlier run has left was read.
	recalled bool
	// published is what the pods can read, and served the last snapshot that every ready pod has acknowledged. Nil: nothing, or not known.
	published *published
	served    *served
	// spreading is when the operator heard of the change that not every pod has acknowledged yet; zero: there is none.
	spreading time.Time
	// recent are the revisions that were published last, the newest at the end.
	recent []recent
	// applied is the digest of the workload that was applied; zero: apply it.
	applied [32]byte
	// routeSeen is when it was looked at the HTTPRoute last; zero: not yet.
	routeSeen time.Time
	token     string
	// lastingKeys is true once the keys that outlive the ServiceProvider are known to exist.
	lastingKeys bool
	// auditKey is the one that signs the audit log; nil: not read yet.
	auditKey *auditKey
	// domainKey is the one that makes the TXT records of domains; nil: not read yet.
	domainKey []byte
	// present are the pods that were there when the operator started.
	present map[podRun]bool
	idps    map[types.UID]*idpMemory
	header  keptKeys
	ledger  *ledger
	// taker is the place among the ready pods of the one that is asked first to take records.
	taker int
	sinks sinkMemory
	store storeMemory
	// written are statuses that the cache may not show yet.
	written map[types.UID]writtenStatus
	// finalizers are those that we have written and the cache may not show yet.
	finalizers map[types.UID]writtenFinalizers
	// told are the news that were told and are not persisted yet, so that a pass that is tried again does not tell them twice.
	told map[string]bool
	// checks are what its mappings came to in the last pass.
	checks compile.Checks
	// certificates of our own, by digest.
	certificates map[[32]byte]certificateFacts

	mutex sync.Mutex
	// versions are the resource versions of the Secrets that we have written, and suspects those that somebody else did.
	versions map[string]string
	suspects map[string]bool
	drifted  bool
}

// idpMemory is what is known of one IdentityProvider.
type idpMemory struct {
	keptKeys
	examined *examined
	// restored is true when the Secret of the good copy exists, saved is when the copy in it changed, refreshed the last value of the
	// refresh annotation that was taken up, and unsaved is true while the Secret is behind.
	restored  bool
	saved     time.Time
	refreshed string
	unsaved   bool
	// failed is the MetadataFresh of an earlier run that has to be looked at again at once, and until then holds; asked is true once it
	// was asked for in this run, and recalledAt is when this run began.
	failed     *compile.Condition
	asked      bool
	recalledAt time.Time
	// parting is since when it is being deleted and held by nothing but its sessions.
	parting time.Time
}

// keptKeys are keys and the state of the Secret that keeps them.
type keptKeys struct {
	keys trust.KeySet
	// keysLost is true when the Secret of the keys has to be written again, keysGone when it does not exist; keysProblem is why its content cannot be used.
	keysLost, keysGone bool
	keysProblem        string
}

// writtenStatus is a status that was written, and the version of the object that has it.
type writtenStatus struct {
	version string
	status  any
}

// writtenFinalizers are the finalizers that an object was left with, and its version then.
type writtenFinalizers struct {
	version string
	names   []string
}

func newMemory() *memory {
	return &memory{idps: map[types.UID]*idpMemory{}, written: map[types.UID]writtenStatus{}, finalizers: map[types.UID]writtenFinalizers{},
		told: map[string]bool{}, certificates: map[[32]byte]certificateFacts{},
		published: &published{}, versions: map[string]string{}, suspects: map[string]bool{}}
}

// reset forgets what was of a ServiceProvider that is gone, and keeps what the audit log was told.
func (m *memory) reset() {
	m.sinks, m.store, m.lastingKeys, m.auditKey, m.domainKey, m.header = sinkMemory{}, storeMemory{}, false, nil, nil, keptKeys{}
	m.recalled, m.published, m.served, m.recent, m.applied, m.token, m.present = false, &published{}, nil, nil, [32]byte{}, "", nil
	m.spreading, m.routeSeen = time.Time{}, time.Time{}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	clear(m.versions)
	clear(m.suspects)
}

// idp returns what is known of an IdentityProvider.
func (m *memory) idp(uid types.UID) *idpMemory {
	if m.idps[uid] == nil {
		m.idps[uid] = &idpMemory{}
	}
	return m.idps[uid]
}

// wrote notes the version of a Secret that we have just written.
func (m *memory) wrote(name string, version *string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if version != nil {
		m.versions[name] = *version
	}
	delete(m.suspects, name)
}

// ours tells whether that version of the Secret is the one that we have written.
func (m *memory) ours(name, version string) bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.versions[name] == version
}

// known tells whether we have written or seen the Secret of that name.
func (m *memory) known(name string) bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	_, ok := m.versions[name]
	return ok
}

// suspect notes that somebody else has changed or deleted one of our Secrets.
func (m *memory) suspect(name string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.suspects[name] = true
	delete(m.versions, name)
}

func (m *memory) takeSuspects() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var names []string
	for name := range m.suspects {
		names = append(names, name)
	}
	clear(m.suspects)
	return names
}

// drift notes that somebody else has changed or deleted a part of the workload.
func (m *memory) drift() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.drifted = true
}

func (m *memory) takeDrift() bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	drifted := m.drifted
	m.drifted = false
	return drifted
}

// memories are those of all ServiceProviders.
type memories struct {
	mutex sync.Mutex
	all   map[types.NamespacedName]*memory
	// owners say to which ServiceProvider an IdentityProvider belongs, by UID.
	owners map[string]idpOwner
}

// idpOwner is an IdentityProvider's name and its ServiceProvider.
type idpOwner struct {
	serviceProvider types.NamespacedName
	name            string
}

func (m *memories) of(key types.NamespacedName) *memory {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.all == nil {
		m.all, m.owners = map[types.NamespacedName]*memory{}, map[string]idpOwner{}
	}
	if m.all[key] == nil {
		m.all[key] = newMemory()
	}
	return m.all[key]
}

// known returns the memory of a ServiceProvider that there was a pass over, or nil.
func (m *memories) known(key types.NamespacedName) *memory {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.all[key]
}

// in returns the ServiceProviders of a namespace that there is something to remember of.
func (m *memories) in(namespace string) (keys []types.NamespacedName) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for key := range m.all {
		if (namespace == "" || key.Namespace == namespace) && key.Name != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func (m *memories) forget(key types.NamespacedName) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.all, key)
}

func (m *memories) setOwner(idp *v1alpha1.IdentityProvider, key types.NamespacedName) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.owners[string(idp.UID)] = idpOwner{key, idp.Name}
}

func (m *memories) ownerOf(uid string) (idpOwner, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	owner, ok := m.owners[uid]
	return owner, ok
}

func (m *memories) forgetOwner(uid types.UID) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.owners, string(uid))
}
