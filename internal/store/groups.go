package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// membership is a group that a user is in, and why.
type membership struct {
	groupID, name  string
	claimed, ruled bool
}

// Groups are all groups of a user, of every IdP, with the invalid ones.
func (d *DB) Groups(ctx context.Context, userID string) ([]Group, error) {
	rows, err := d.read.QueryContext(ctx, `SELECT g.idp_uid, g.idp_name, g.name, g.discovered_at, g.invalidated_at
		FROM memberships m JOIN groups_of_idps g ON g.id = m.group_id WHERE m.user_id = $1 ORDER BY g.idp_name, g.name`, userID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Group
	for rows.Next() {
		var g Group
		var discovered, invalidated int64
		if err := rows.Scan(&g.IdP.UID, &g.IdP.Name, &g.Name, &discovered, &invalidated); err != nil {
			return nil, err
		}
		g.DiscoveredAt, g.InvalidatedAt = fromMicros(discovered), fromMicros(invalidated)
		out = append(out, g)
	}
	return out, rows.Err()
}

func (t *txn) memberships(userID string, idp IdPRef) (map[string]membership, error) {
	rows, err := t.sql.QueryContext(t.ctx, `SELECT g.id, g.name, g.idp_name, m.claimed, m.ruled FROM memberships m JOIN groups_of_idps g ON g.id = m.group_id
		WHERE m.user_id = $1 AND g.idp_uid = $2`, userID, idp.UID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]membership{}
	renamed := false
	for rows.Next() {
		var m membership
		var idpName string
		if err := rows.Scan(&m.groupID, &m.name, &idpName, &m.claimed, &m.ruled); err != nil {
			return nil, err
		}
		out[m.name] = m
		renamed = renamed || idpName != idp.Name
	}
	if err := rows.Err(); err != nil || !renamed {
		return out, err
	}
	_, err = t.exec(`UPDATE groups_of_idps SET idp_name = $2 WHERE idp_uid = $1`, idp.UID, idp.Name)
	return out, err
}

func (t *txn) SyncGroups(userID string, idp IdPRef, s GroupSync) (GroupChanges, error) {
	var changes GroupChanges
	stored, err := t.memberships(userID, idp)
	if err != nil {
		return changes, err
	}
	wanted := map[string]membership{}
	for _, name := range s.Claimed {
		wanted[name] = membership{name: name, claimed: true}
	}
	if s.KeepClaimed {
		for name, m := range stored {
			if m.claimed {
				wanted[name] = membership{name: name, claimed: true}
			}
		}
	}
	for _, name := range s.Ruled {
		m := wanted[name]
		m.name, m.ruled = name, true
		wanted[name] = m
	}
	var write []membership
	for name, m := range wanted {
		old, had := stored[name]
		if !had {
			changes.Added = append(changes.Added, name)
		}
		if old.claimed != m.claimed || old.ruled != m.ruled {
			write = append(write, m)
		}
	}
	var remove []any
	for name, m := range stored {
		if _, keep := wanted[name]; !keep {
			changes.Removed = append(changes.Removed, name)
			remove = append(remove, m.groupID)
		}
	}
	slices.Sort(changes.Added)
	slices.Sort(changes.Removed)
	// One order for everybody: two sign-ins that discover the same groups cannot block each other.
	slices.SortFunc(write, func(a, b membership) int { return strings.Compare(a.name, b.name) })
	if changes.Discovered, err = t.join(userID, idp, write); err != nil {
		return changes, err
	}
	for batch := range slices.Chunk(remove, 500) {
		w := where{conditions: []string{"user_id = $1"}, args: []any{userID}}
		w.in("group_id", batch)
		if _, err := t.exec(`DELETE FROM memberships`+w.String(), w.args...); err != nil {
			return changes, err
		}
	}
	return changes, nil
}

// join writes memberships and makes the groups that are new. A group that was invalid and is asserted again is valid again.
func (t *txn) join(userID string, idp IdPRef, write []membership) (discovered []string, err error) {
	for batch := range slices.Chunk(write, 500) {
		ids, found, err := t.ensureGroups(idp, batch)
		if err != nil {
			return nil, err
		}
		discovered = append(discovered, found...)
		args := make([]any, 0, 4*len(batch))
		for _, m := range batch {
			args = append(args, userID, ids[m.name], m.claimed, m.ruled)
		}
		if _, err := t.exec(`INSERT INTO memberships (user_id, group_id, claimed, ruled) VALUES `+placeholders(1, len(batch), 4)+
			` ON CONFLICT (user_id, group_id) DO UPDATE SET claimed = excluded.claimed, ruled = excluded.ruled`, args...); err != nil {
			return nil, err
		}
	}
	return discovered, nil
}

func (t *txn) ensureGroups(idp IdPRef, batch []membership) (ids map[string]string, discovered []string, err error) {
	ids, err = t.groupIDs(idp, batch)
	if err != nil {
		return nil, nil, err
	}
	var args []any
	fresh := 0
	for _, m := range batch {
		if _, known := ids[m.name]; !known {
			args = append(args, uuid.NewString(), idp.UID, idp.Name, m.name, micros(t.at), 0)
			discovered = append(discovered, m.name)
			fresh++
		}
	}
	if fresh == 0 {
		return ids, nil, nil
	}
	if _, err := t.exec(`INSERT INTO groups_of_idps (id, idp_uid, idp_name, name, discovered_at, invalidated_at) VALUES `+placeholders(1, fresh, 6)+` ON CONFLICT DO NOTHING`, args...); err != nil {
		return nil, nil, err
	}
	// Another transaction may have made some of them first: read the IDs that count.
	ids, err = t.groupIDs(idp, batch)
	if err == nil && len(ids) < len(batch) {
		err = fmt.Errorf("store: %d groups could not be created", len(batch)-len(ids))
	}
	return ids, discovered, err
}

func (t *txn) groupIDs(idp IdPRef, batch []membership) (map[string]string, error) {
	names := make([]any, 0, len(batch))
	for _, m := range batch {
		names = append(names, m.name)
	}
	w := where{conditions: []string{"idp_uid = $1"}, args: []any{idp.UID}}
	w.in("name", names)
	rows, err := t.sql.QueryContext(t.ctx, `SELECT id, name, invalidated_at, idp_name FROM groups_of_idps`+w.String(), w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ids := map[string]string{}
	stale := false
	for rows.Next() {
		var id, name, idpName string
		var invalidated int64
		if err := rows.Scan(&id, &name, &invalidated, &idpName); err != nil {
			return nil, err
		}
		ids[name] = id
		stale = stale || invalidated != 0 || idpName != idp.Name
	}
	if err := rows.Err(); err != nil || !stale {
		return ids, err
	}
	_, err = t.exec(fmt.Sprintf(`UPDATE groups_of_idps SET invalidated_at = 0, idp_name = $%d`, len(w.args)+1)+w.String(), append(w.args, idp.Name)...)
	return ids, err
}

func (t *txn) InvalidateGroups(idpUID string, limit int) ([]string, error) {
	rows, err := t.sql.QueryContext(t.ctx, fmt.Sprintf(`UPDATE groups_of_idps SET invalidated_at = $1 WHERE id IN
		(SELECT id FROM groups_of_idps WHERE idp_uid = $2 AND invalidated_at = 0 ORDER BY name LIMIT %d) RETURNING name`, limitOf(limit, 10_000)), micros(t.at), idpUID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, rows.Err()
}
