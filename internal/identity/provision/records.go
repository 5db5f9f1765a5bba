package provision

import (
	"maps"
	"slices"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
)

// base is a record about the user by the IdP that signs them in.
func (w *work) base(t audit.Type) audit.Record {
	idp := w.in.Connection.IdP
	return audit.Record{
		Type: t, Outcome: audit.OutcomeSuccess, Request: w.in.Client.Request,
		Actor:  audit.Actor{Kind: audit.ActorIdP, ID: idp.Name, IP: w.in.Client.IP, UserAgent: w.in.Client.UserAgent},
		Target: audit.Target{Kind: audit.KindUser, Name: w.user.Email, UID: w.user.ID},
	}
}

func (w *work) groupRecords(t audit.Type, groups []string) {
	idp := w.in.Connection.IdP
	for chunk := range slices.Chunk(groups, audit.GroupsPerRecord) {
		r := w.base(t)
		r.Details = audit.GroupChange{IdP: idp.Name, IdPUID: idp.UID, Groups: chunk, Cause: "sign_in"}
		w.records = append(w.records, r)
	}
}

// ruleRecords say which rules of the mapping added no group because they could not be evaluated: one record for each reason.
func (w *work) ruleRecords() {
	failed := identity.RulesByReason(w.person.FailedRules)
	for _, reason := range slices.Sorted(maps.Keys(failed)) {
		r := w.base(audit.TypeUserIdPGroupRuleFailed)
		r.Outcome, r.Reason = audit.OutcomeFailure, string(reason)
		r.Details = audit.RuleFailure{IdP: w.in.Connection.IdP.Name, Mapping: w.in.Connection.Mapping.Name(), Rules: failed[reason]}
		w.records = append(w.records, r)
	}
}

// mirror copies what is switched on from the assertion to the canonical profile. What the assertion leaves out stays.
func (w *work) mirror() error {
	if len(w.person.Dropped) > 0 {
		r := w.base(audit.TypeUserIdPAttributeMirrorFailed)
		r.Outcome, r.Reason = audit.OutcomeFailure, "invalid_value"
		r.Details = audit.MirrorFailure{IdP: w.in.Connection.IdP.Name, Dropped: w.person.Dropped}
		w.records = append(w.records, r)
	}
	if !slices.ContainsFunc(w.in.Profile, func(a snapshot.ProfileAttribute) bool { return a.Mirror }) {
		return nil
	}
	profile, err := w.tx.Profile(w.user.ID)
	if err != nil {
		return err
	}
	update := audit.ProfileUpdate{Cause: audit.CauseIdPMirror, IdP: w.in.Connection.IdP.Name}
	for _, a := range w.in.Profile {
		value, sent := w.person.Profile[a.Name]
		if !a.Mirror || !sent {
			continue
		}
		old, had := profile[a.Name]
		if had && old.Value == value {
			continue
		}
		profile[a.Name] = store.ProfileValue{Value: value, Source: store.SourceIdP, IdPUID: w.in.Connection.IdP.UID, UpdatedAt: w.now}
		if had {
			update.Updated = append(update.Updated, a.Name)
		} else {
			update.Added = append(update.Added, a.Name)
		}
	}
	if len(update.Added)+len(update.Updated) == 0 {
		return nil
	}
	slices.Sort(update.Added)
	slices.Sort(update.Updated)
	w.stale = true
	r := w.base(audit.TypeUserProfileUpdated)
	r.Details = update
	w.records = append(w.records, r)
	return w.tx.SaveProfile(w.user.ID, profile)
}

// record writes everything that happened. The sign-in comes last, so that a reader finds its causes before it.
func (w *work) record() error {
	idp := w.in.Connection.IdP
	details := audit.SignIn{
		IdP: idp.Name, IdPUID: idp.UID, MatchedBy: w.matched, SecondFactor: w.session.SecondFactorPending, EmailFromNameID: w.person.EmailFromNameID,
		GroupOverage: w.person.GroupOverage, SubjectChanged: w.subjectChanged, EmailConflict: w.emailConflict,
	}
	var first []audit.Record
	if w.in.Connection.Verbose {
		r := w.base(audit.TypeSAMLAssertionReceived)
		verbose := details
		verbose.Missing, verbose.Unmapped = w.person.Missing, w.person.Unmapped
		r.Details = verbose
		first = append(first, r)
	}
	if w.created {
		r := w.base(audit.TypeUserCreatedJIT)
		r.Details = details
		first = append(first, r)
	} else if len(w.changes.Updated) > 0 {
		r := w.base(audit.TypeUserAttributesSynced)
		slices.Sort(w.changes.Updated)
		r.Details = w.changes
		first = append(first, r)
	}
	w.records = append(first, w.records...)
	signedIn := w.base(audit.TypeUserSignedInSAML)
	signedIn.Actor = audit.Actor{Kind: audit.ActorUser, ID: w.user.ID, Email: w.user.Email, IP: w.in.Client.IP, UserAgent: w.in.Client.UserAgent}
	signedIn.Session = session.Key(w.session.TokenHash).Hex()
	signedIn.Details = details
	w.records = append(w.records, signedIn)
	return w.tx.AppendAudit(w.records...)
}
