package provision

import (
	"context"
	"encoding/json"
	"slices"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
)

// Removal says which IdP goes, and what becomes of the values that it filled in.
type Removal struct {
	IdP    store.IdPRef
	Target audit.Target
	// Scrub clears canonical profile values that still equal this IdP's last assertion.
	Scrub bool
}

// removal is the progress of a RemoveIdP, kept in the store so that it survives a crash.
type removal struct {
	Done   bool           `json:"done"`
	Result audit.Deletion `json:"result"`
}

const (
	scrubBatch = 200
	groupBatch = audit.GroupsPerRecord
)

// RemoveIdP undoes what an IdP left behind, in batches that each commit with their audit records: sessions end, groups are marked invalid and kept, mirrored
// values are scrubbed if asked, its users belong to nobody until another IdP may assert them. It continues after a crash where it stopped, and saml_idp_deleted
// is written once: calling it again gives the same result.
func (s *Service) RemoveIdP(ctx context.Context, r Removal, by Caller) (audit.Deletion, error) {
	for {
		state, err := s.removalStep(ctx, r, by)
		if err != nil || state.Done {
			return state.Result, err
		}
	}
}

// removalStep does one batch of the first kind of work that is left.
func (s *Service) removalStep(ctx context.Context, r Removal, by Caller) (removal, error) {
	var state removal
	job := "remove-idp/" + r.IdP.UID
	err := s.store.Do(ctx, func(tx store.Tx) error {
		state = removal{}
		saved, err := tx.Job(job)
		if err != nil {
			return err
		}
		if saved != nil {
			if err := json.Unmarshal(saved, &state); err != nil || state.Done {
				return err
			}
		}
		state.Result.Scrubbed = r.Scrub
		worked, err := removeSome(tx, r, by, &state.Result)
		if err != nil {
			return err
		}
		if worked {
			return saveRemoval(tx, job, state)
		}
		state.Done = true
		if err := tx.AppendAudit(by.record(audit.TypeSAMLIdPDeleted, r.Target, state.Result)); err != nil {
			return err
		}
		return saveRemoval(tx, job, state)
	})
	return state, err
}

// RemoveRemains undoes what an IdP has left that was deleted while nobody could call RemoveIdP, and says what it was. Who deleted it has recorded the deletion
// already: here everything that ends has its record, with the cause idp_deleted. A crash in between leaves the rest to the next call.
func (s *Service) RemoveRemains(ctx context.Context, r Removal, by Caller) (audit.Deletion, error) {
	var result audit.Deletion
	for {
		var worked bool
		next := result
		err := s.store.Do(ctx, func(tx store.Tx) (err error) {
			next = result
			worked, err = removeSome(tx, r, by, &next)
			return err
		})
		if err != nil || !worked {
			return result, err
		}
		result = next
	}
}

// removeSome does one batch of the first kind of work that is left, and tells whether there was any.
func removeSome(tx store.Tx, r Removal, by Caller, result *audit.Deletion) (worked bool, err error) {
	for _, step := range []func(store.Tx, Removal, Caller, *audit.Deletion) (bool, error){removeSessions, removeGroups, removeLinks} {
		if worked, err = step(tx, r, by, result); err != nil || worked {
			return worked, err
		}
	}
	return false, nil
}

func saveRemoval(tx store.Tx, job string, state removal) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return tx.SaveJob(job, text)
}

func removeSessions(tx store.Tx, r Removal, by Caller, result *audit.Deletion) (bool, error) {
	ended, err := tx.EndSessions(store.SessionMatch{IdPUID: r.IdP.UID})
	if err != nil || len(ended) == 0 {
		return false, err
	}
	result.Sessions += len(ended)
	return true, tx.AppendAudit(revocations(ended, audit.TypeSessionRevoked, "idp_deleted", by)...)
}

func removeGroups(tx store.Tx, r Removal, by Caller, result *audit.Deletion) (bool, error) {
	names, err := tx.InvalidateGroups(r.IdP.UID, groupBatch)
	if err != nil || len(names) == 0 {
		return false, err
	}
	result.Groups += len(names)
	return true, tx.AppendAudit(by.record(audit.TypeIdPGroupInvalidated, r.Target, audit.GroupChange{IdP: r.IdP.Name, IdPUID: r.IdP.UID, Groups: names, Cause: "idp_deleted"}))
}

// removeLinks scrubs and releases users, and forgets what the IdP asserted about them.
func removeLinks(tx store.Tx, r Removal, by Caller, result *audit.Deletion) (bool, error) {
	links, err := tx.LinksOfIdP(r.IdP.UID, "", scrubBatch)
	if err != nil || len(links) == 0 {
		return false, err
	}
	for _, l := range links {
		u, err := tx.User(l.UserID)
		if err != nil {
			return false, err
		}
		if r.Scrub {
			cleared, err := scrub(tx, l)
			if err != nil {
				return false, err
			}
			if len(cleared) > 0 {
				result.Users++
				result.Values += len(cleared)
				record := by.record(audit.TypeUserProfileUpdated, userTarget(u), audit.ProfileUpdate{Cause: audit.CauseIdPScrub, IdP: r.IdP.Name, Cleared: cleared})
				if err := tx.AppendAudit(record); err != nil {
					return false, err
				}
			}
		}
		if u.IdP.UID == r.IdP.UID {
			u.IdP, u.UpdatedAt = store.IdPRef{}, tx.Now()
			if err := tx.UpdateUser(u); err != nil {
				return false, err
			}
		}
		if err := tx.RemoveLink(l.UserID, l.IdP.UID); err != nil {
			return false, err
		}
	}
	return true, nil
}

// scrub clears the values that still equal what the IdP last asserted and that nobody else stands for: another IdP whose last assertion has the same
// value takes it over, and a value that an administrator or the user set stays.
func scrub(tx store.Tx, l store.Link) (cleared []string, err error) {
	profile, err := tx.Profile(l.UserID)
	if err != nil {
		return nil, err
	}
	others, err := tx.Links(l.UserID)
	if err != nil {
		return nil, err
	}
	changed := false
	for name, v := range profile {
		if v.Source != store.SourceIdP || l.Attributes[name] != v.Value {
			continue
		}
		i := slices.IndexFunc(others, func(o store.Link) bool { return o.IdP.UID != l.IdP.UID && o.Attributes[name] == v.Value })
		if i < 0 {
			delete(profile, name)
			cleared = append(cleared, name)
		} else if v.IdPUID == l.IdP.UID {
			v.IdPUID = others[i].IdP.UID
			profile[name] = v
		} else {
			continue
		}
		changed = true
	}
	if !changed {
		return nil, nil
	}
	slices.Sort(cleared)
	if err := tx.EvictUser(l.UserID); err != nil {
		return nil, err
	}
	return cleared, tx.SaveProfile(l.UserID, profile)
}
