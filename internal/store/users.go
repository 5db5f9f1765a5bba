package store

import (
	"context"
	"encoding/json"
	"fmt"
)

const userColumns = `id, email, first_name, last_name, idp_uid, idp_name, created_at, updated_at, last_sign_in_at, last_sign_in_ip, suspended_at, suspend_reason`

type scanner interface{ Scan(dest ...any) error }

func scanUser(row scanner) (u User, err error) {
	var created, updated, signedIn, suspended int64
	err = row.Scan(&u.ID, &u.Email, &u.FirstName, &u.LastName, &u.IdP.UID, &u.IdP.Name, &created, &updated, &signedIn, &u.LastSignInIP, &suspended, &u.SuspendReason)
	u.CreatedAt, u.UpdatedAt, u.LastSignInAt, u.SuspendedAt = fromMicros(created), fromMicros(updated), fromMicros(signedIn), fromMicros(suspended)
	return u, notFound(err)
}

// User finds a user by ID.
func (d *DB) User(ctx context.Context, id string) (User, error) {
	return scanUser(d.read.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
}

// UserByEmail finds a user by normalised address.
func (d *DB) UserByEmail(ctx context.Context, email string) (User, error) {
	return scanUser(d.read.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE email = $1`, email))
}

// Users lists users by address and returns the cursor of the next page, "" at the end.
func (d *DB) Users(ctx context.Context, q UserQuery) ([]User, string, error) {
	var w where
	if q.Prefix != "" {
		w.add("email >= %s", q.Prefix)
		w.add("email < %s", q.Prefix+"\U0010FFFF")
	}
	if q.IdPUID != "" {
		w.add("idp_uid = %s", q.IdPUID)
	}
	if q.Suspended {
		w.conditions = append(w.conditions, "suspended_at > 0")
	}
	if q.Cursor != "" {
		w.add("email > %s", q.Cursor)
	}
	limit := limitOf(q.Limit, 1000)
	rows, err := d.read.QueryContext(ctx, fmt.Sprintf(`SELECT %s FROM users%s ORDER BY email LIMIT %d`, userColumns, w.String(), limit), w.args...)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	var users []User
	for rows.Next() {
		u, err := scanUser(rows)
		if err != nil {
			return nil, "", err
		}
		users = append(users, u)
	}
	next := ""
	if len(users) == limit {
		next = users[limit-1].Email
	}
	return users, next, rows.Err()
}

func (t *txn) lockedUser(condition string, args ...any) (User, error) {
	return scanUser(t.sql.QueryRowContext(t.ctx, `SELECT `+userColumns+` FROM users WHERE `+condition+t.db.dialect.forUpdate, args...))
}

func (t *txn) User(id string) (User, error) { return t.lockedUser(`id = $1`, id) }

func (t *txn) UserByEmail(email string) (User, error) { return t.lockedUser(`email = $1`, email) }

func (t *txn) UserBySubject(idpUID, subject string) (User, error) {
	return t.lockedUser(`id = (SELECT user_id FROM links WHERE idp_uid = $1 AND subject = $2)`, idpUID, subject)
}

func (t *txn) CreateUser(u User) error {
	n, err := t.exec(`INSERT INTO users (`+userColumns+`) VALUES `+placeholders(1, 1, 12)+` ON CONFLICT DO NOTHING`,
		u.ID, u.Email, u.FirstName, u.LastName, u.IdP.UID, u.IdP.Name, micros(u.CreatedAt), micros(u.UpdatedAt), micros(u.LastSignInAt), u.LastSignInIP,
		micros(u.SuspendedAt), u.SuspendReason)
	if err == nil && n == 0 {
		return ErrConflict
	}
	return err
}

// UpdateUser writes every field. Changing the address to one that is taken is ErrConflict; the caller, who holds the lock, asks first with UserByEmail.
func (t *txn) UpdateUser(u User) error {
	n, err := t.exec(`UPDATE users SET email = $2, first_name = $3, last_name = $4, idp_uid = $5, idp_name = $6, updated_at = $7, last_sign_in_at = $8,
		last_sign_in_ip = $9, suspended_at = $10, suspend_reason = $11
		WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM users o WHERE o.email = $2 AND o.id <> $1)`,
		u.ID, u.Email, u.FirstName, u.LastName, u.IdP.UID, u.IdP.Name, micros(u.UpdatedAt), micros(u.LastSignInAt), u.LastSignInIP, micros(u.SuspendedAt), u.SuspendReason)
	if err == nil && n == 0 {
		return ErrConflict
	}
	return err
}

func (t *txn) DeleteUser(id string) error {
	n, err := t.exec(`DELETE FROM users WHERE id = $1`, id)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

const linkColumns = `user_id, idp_uid, idp_name, COALESCE(subject, ''), attributes, raw, group_overage, created_at, recorded_at`

func scanLink(row scanner) (l Link, err error) {
	var attributes, raw string
	var created, recorded int64
	if err := row.Scan(&l.UserID, &l.IdP.UID, &l.IdP.Name, &l.Subject, &attributes, &raw, &l.GroupOverage, &created, &recorded); err != nil {
		return l, notFound(err)
	}
	l.CreatedAt, l.RecordedAt = fromMicros(created), fromMicros(recorded)
	if err := json.Unmarshal([]byte(attributes), &l.Attributes); err != nil {
		return l, err
	}
	return l, json.Unmarshal([]byte(raw), &l.Raw)
}

func links(ctx context.Context, q querier, rest string, args ...any) ([]Link, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+linkColumns+` FROM links WHERE `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Link
	for rows.Next() {
		l, err := scanLink(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

// Links are the IdPs that a user has signed in through.
func (d *DB) Links(ctx context.Context, userID string) ([]Link, error) {
	return links(ctx, d.read, `user_id = $1 ORDER BY idp_name, idp_uid`, userID)
}

func (t *txn) Links(userID string) ([]Link, error) {
	return links(t.ctx, t.sql, `user_id = $1 ORDER BY idp_uid`, userID)
}

func (t *txn) Link(userID, idpUID string) (Link, error) {
	return scanLink(t.sql.QueryRowContext(t.ctx, `SELECT `+linkColumns+` FROM links WHERE user_id = $1 AND idp_uid = $2`, userID, idpUID))
}

func (t *txn) LinksOfIdP(idpUID, afterUserID string, limit int) ([]Link, error) {
	return links(t.ctx, t.sql, fmt.Sprintf(`idp_uid = $1 AND user_id > $2 ORDER BY user_id LIMIT %d`, limitOf(limit, 10_000)), idpUID, afterUserID)
}

func (t *txn) SaveLink(l Link) error {
	attributes, err := document(l.Attributes)
	if err != nil {
		return err
	}
	raw, err := document(l.Raw)
	if err != nil {
		return err
	}
	var subject any
	if l.Subject != "" {
		subject = valid(l.Subject)
		var owner string
		err := notFound(t.sql.QueryRowContext(t.ctx, `SELECT user_id FROM links WHERE idp_uid = $1 AND subject = $2`, l.IdP.UID, subject).Scan(&owner))
		if err == nil && owner != l.UserID {
			return ErrConflict
		} else if err != nil && err != ErrNotFound {
			return err
		}
	}
	_, err = t.exec(`INSERT INTO links (user_id, idp_uid, idp_name, subject, attributes, raw, group_overage, created_at, recorded_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)
		ON CONFLICT (user_id, idp_uid) DO UPDATE SET idp_name = excluded.idp_name, subject = excluded.subject, attributes = excluded.attributes, raw = excluded.raw,
		group_overage = excluded.group_overage, recorded_at = excluded.recorded_at`,
		l.UserID, l.IdP.UID, l.IdP.Name, subject, attributes, raw, l.GroupOverage, micros(l.CreatedAt), micros(l.RecordedAt))
	return err
}

func (t *txn) RemoveLink(userID, idpUID string) error {
	_, err := t.exec(`DELETE FROM links WHERE user_id = $1 AND idp_uid = $2`, userID, idpUID)
	return err
}

func profile(ctx context.Context, q querier, userID string) (Profile, error) {
	p, text := Profile{}, ""
	switch err := notFound(q.QueryRowContext(ctx, `SELECT document FROM profiles WHERE user_id = $1`, userID).Scan(&text)); err {
	case nil:
		return p, json.Unmarshal([]byte(text), &p)
	case ErrNotFound:
		return p, nil
	default:
		return nil, err
	}
}

// Profile is a user's canonical profile; it is empty for somebody who has none.
func (d *DB) Profile(ctx context.Context, userID string) (Profile, error) {
	return profile(ctx, d.read, userID)
}

func (t *txn) Profile(userID string) (Profile, error) { return profile(t.ctx, t.sql, userID) }

func (t *txn) SaveProfile(userID string, p Profile) error {
	text, err := document(p)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO profiles (user_id, document) VALUES ($1,$2) ON CONFLICT (user_id) DO UPDATE SET document = excluded.document`, userID, text)
	return err
}
