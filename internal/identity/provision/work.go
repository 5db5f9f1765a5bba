package provision

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

// work is one sign-in inside its transaction.
type work struct {
	tx     store.Tx
	in     SignIn
	person identity.Person
	now    time.Time

	user    store.User
	link    store.Link
	created bool
	matched string
	// changes are the keys of names and address that changed; stale means that other sessions of the user show something old.
	changes        audit.Changes
	stale          bool
	subjectChanged bool
	emailConflict  bool
	token          string
	session        store.Session
	records        []audit.Record
}

// guard consumes the sign-in in flight and the assertion, once over all replicas.
func (w *work) guard() error {
	if w.in.PendingHandle != nil {
		_, err := w.tx.ConsumePending(w.in.PendingHandle)
		if errors.Is(err, store.ErrNotFound) {
			return &identity.Rejection{Reason: identity.ReasonReplayed, Sentence: "This sign-in was already completed, or it took too long. Sign in again."}
		}
		if err != nil {
			return err
		}
	}
	err := w.tx.RememberAssertion(w.in.Connection.IdP.UID, w.in.Assertion.ID, w.in.Assertion.ReplayUntil)
	if errors.Is(err, store.ErrReplayed) {
		return &identity.Rejection{Reason: identity.ReasonReplayed, Sentence: "The assertion was already used to sign in.", Expected: "a new assertion ID", Actual: w.in.Assertion.ID}
	}
	return err
}

func (w *work) run() error {
	for _, step := range []func() error{w.find, w.sync, w.saveLink, w.syncGroups, w.mirror, w.openSession, w.record} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// find looks the user up by the IdP's persistent identifier, then by address, and creates one where that is allowed.
func (w *work) find() error {
	uid := w.in.Connection.IdP.UID
	err := store.ErrNotFound
	if w.person.Subject != "" {
		if w.user, err = w.tx.UserBySubject(uid, w.person.Subject); err == nil {
			if w.matched = MatchedSubject; w.user.IdP.UID != uid && w.user.Email != w.person.Email.String() {
				// The user has moved to another IdP; the old one's identifier brings nobody back under an address of its choice.
				return w.takeOver()
			}
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		w.matched = MatchedEmail
		w.user, err = w.tx.UserByEmail(w.person.Email.String())
	}
	if errors.Is(err, store.ErrNotFound) {
		if err = w.create(); errors.Is(err, store.ErrConflict) {
			// Another replica created the same person this very moment.
			w.matched, w.created = MatchedEmail, false
			w.user, err = w.tx.UserByEmail(w.person.Email.String())
		}
	}
	if err != nil {
		return err
	}
	if w.user.Suspended() {
		return &identity.Rejection{Reason: identity.ReasonUserSuspended, Sentence: "The user is suspended.", Expected: "kubectl sso users resume", Actual: "suspended"}
	}
	return w.ownership()
}

// ownership decides about a user that belongs to another IdP: only the IdP that the address's domain is bound to may take them over. A user whose IdP was
// deleted belongs to nobody.
func (w *work) ownership() error {
	ref := w.in.Connection.IdP
	switch {
	case w.user.IdP.UID == ref.UID:
	case w.user.IdP.UID == "" || w.in.Domains.Owns(ref.Name, w.person.Email):
		w.changes.Updated = append(w.changes.Updated, "identityProvider")
		// The identifiers of the IdPs before this one name nobody any more.
		links, err := w.tx.Links(w.user.ID)
		if err != nil {
			return err
		}
		for _, l := range links {
			if l.IdP.UID != ref.UID && l.Subject != "" {
				l.Subject = ""
				if err := w.tx.SaveLink(l); err != nil {
					return err
				}
			}
		}
	default:
		return w.takeOver()
	}
	w.user.IdP = ref
	return nil
}

func (w *work) takeOver() error {
	return &identity.Rejection{
		Reason:   identity.ReasonDomainNotBound,
		Sentence: fmt.Sprintf("The user belongs to the identity provider %s. Bind the domain %s to %s to move its users.", w.user.IdP.Name, w.person.Email.Domain, w.in.Connection.IdP.Name),
		Expected: w.user.IdP.Name, Actual: w.person.Email.Domain,
	}
}

func (w *work) create() error {
	if !w.in.Connection.Provisioning.JIT {
		return &identity.Rejection{
			Reason:   identity.ReasonUserNotFound,
			Sentence: fmt.Sprintf("There is no such user, and %s does not create users at sign-in.", w.in.Connection.IdP.Name), Expected: "spec.provisioning.jit: Enabled", Actual: "Disabled",
		}
	}
	w.matched, w.created = MatchedCreated, true
	w.user = store.User{
		ID: uuid.Must(uuid.NewV7()).String(), Email: w.person.Email.String(), FirstName: w.person.FirstName, LastName: w.person.LastName,
		IdP: w.in.Connection.IdP, CreatedAt: w.now, UpdatedAt: w.now, LastSignInAt: w.now, LastSignInIP: w.in.Client.IP,
	}
	return w.tx.CreateUser(w.user)
}

// sync brings names and address up to date. What the assertion leaves out stays.
func (w *work) sync() error {
	if w.created {
		return nil
	}
	if v := w.person.FirstName; v != "" && v != w.user.FirstName {
		w.user.FirstName = v
		w.changes.Updated = append(w.changes.Updated, "firstName")
	}
	if v := w.person.LastName; v != "" && v != w.user.LastName {
		w.user.LastName = v
		w.changes.Updated = append(w.changes.Updated, "lastName")
	}
	if email := w.person.Email.String(); email != w.user.Email {
		other, err := w.tx.UserByEmail(email)
		switch {
		case err == nil && other.ID != w.user.ID:
			w.emailConflict = true
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		default:
			w.user.Email = email
			w.changes.Updated = append(w.changes.Updated, "email")
		}
	}
	if len(w.changes.Updated) > 0 {
		w.user.UpdatedAt = w.now
		w.stale = true
	}
	w.user.LastSignInAt, w.user.LastSignInIP = w.now, w.in.Client.IP
	err := w.tx.UpdateUser(w.user)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("the address was taken while the user signed in: %w", err)
	}
	return err
}

// saveLink records what the IdP asserted, whatever of it is mirrored.
func (w *work) saveLink() error {
	ref := w.in.Connection.IdP
	old, err := w.tx.Link(w.user.ID, ref.UID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	w.link = store.Link{
		UserID: w.user.ID, IdP: ref, Subject: w.person.Subject, Attributes: w.person.Profile, Raw: bounded(w.in.Assertion.Attributes),
		GroupOverage: w.person.GroupOverage, CreatedAt: w.now, RecordedAt: w.now,
	}
	if err == nil {
		w.link.CreatedAt = old.CreatedAt
		w.subjectChanged = old.Subject != "" && w.person.Subject != "" && old.Subject != w.person.Subject
		if w.link.Subject == "" {
			w.link.Subject = old.Subject
		}
	}
	return w.tx.SaveLink(w.link)
}

// Bounds of the snapshot of raw attributes, which is there for people to look at, and for explain, which maps it once more: what a response of the usual
// size holds is kept whole.
const (
	maxRawAttributes = 100
	maxRawBytes      = 256 << 10
)

func bounded(attributes map[string][]string) map[string][]string {
	out := make(map[string][]string, min(len(attributes), maxRawAttributes))
	left := maxRawBytes
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if len(out) == maxRawAttributes || left < len(name) {
			break
		}
		left -= len(name)
		kept := []string{}
		for _, v := range attributes[name] {
			if left < len(v) {
				break
			}
			left -= len(v)
			kept = append(kept, v)
		}
		out[name] = kept
	}
	return out
}

func (w *work) syncGroups() error {
	changes, err := w.tx.SyncGroups(w.user.ID, w.in.Connection.IdP, store.GroupSync{
		Claimed: w.person.Groups, Ruled: w.person.RuleGroups, KeepClaimed: w.person.KeepGroups,
	})
	if err != nil {
		return err
	}
	w.stale = w.stale || len(changes.Added)+len(changes.Removed) > 0
	w.ruleRecords()
	w.groupRecords(audit.TypeIdPGroupDiscovered, changes.Discovered)
	w.groupRecords(audit.TypeIdPGroupMemberAdded, changes.Added)
	w.groupRecords(audit.TypeIdPGroupMemberRemoved, changes.Removed)
	return nil
}

// openSession ends the browser's earlier session and opens the new one, no longer than the IdP's own.
func (w *work) openSession() error {
	if w.in.Previous != nil {
		if _, err := w.tx.EndSessions(store.SessionMatch{TokenHash: w.in.Previous[:]}); err != nil {
			return err
		}
	}
	lifetime := w.in.Session.Lifetime
	if lifetime <= 0 {
		lifetime = defaultLifetime
	}
	expires := w.now.Add(lifetime)
	if end := w.in.Assertion.SessionNotOnOrAfter; !end.IsZero() && end.Before(expires) {
		expires = end
	}
	if !expires.After(w.now) {
		return errors.New("the session at the identity provider has already ended")
	}
	token, key := session.NewToken()
	w.token = token
	a := w.in.Assertion
	w.session = store.Session{
		TokenHash: key[:], UserID: w.user.ID, IdP: w.in.Connection.IdP, NameID: store.NameID(a.NameID), SessionIndex: a.SessionIndex, AuthnContext: a.AuthnContext,
		CreatedAt: w.now, LastSeenAt: w.now, ExpiresAt: expires, IdleTimeout: w.in.Session.IdleTimeout,
		SecondFactorPending: w.in.Connection.Provisioning.RequireSecondFactor, ReturnURL: w.in.ReturnURL,
		IP: w.in.Client.IP, UserAgent: w.in.Client.UserAgent, EmailDomain: emailDomain(w.user.Email), User: w.user,
	}
	if w.stale && !w.created {
		if err := w.tx.EvictUser(w.user.ID); err != nil {
			return err
		}
	}
	return w.tx.CreateSession(w.session)
}

// defaultLifetime holds when a ServiceProvider says nothing.
const defaultLifetime = 12 * time.Hour

func emailDomain(email string) string {
	a, err := identity.NormaliseAddress(email)
	if err != nil {
		return ""
	}
	return a.Domain
}

func (w *work) result() *Result {
	return &Result{
		User: w.user, Person: w.person, Token: w.token, Session: w.session, Created: w.created, MatchedBy: w.matched,
		SecondFactorRequired: w.session.SecondFactorPending, Records: w.records,
	}
}
