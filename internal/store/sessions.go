package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sessionDocument is the part of a session that no query looks at.
type sessionDocument struct {
	NameID       NameID `json:"nameID"`
	AuthnContext string `json:"authnContext,omitempty"`
	ReturnURL    string `json:"returnURL,omitempty"`
	IP           string `json:"ip,omitempty"`
	UserAgent    string `json:"userAgent,omitempty"`
	Audience     string `json:"audience,omitempty"`
	Parent       string `json:"parent,omitempty"`
}

const sessionColumns = `s.token_hash, s.user_id, s.idp_uid, s.idp_name, s.session_index, s.email_domain, s.created_at, s.last_seen_at, s.expires_at, s.idle_timeout, s.second_factor_pending, s.document`

func (d *DB) sessionSelect() string {
	columns := "u." + strings.ReplaceAll(userColumns, ", ", ", u.")
	return `SELECT ` + sessionColumns + `, ` + columns + `, ` + d.dialect.groups + ` FROM sessions s JOIN users u ON u.id = s.user_id`
}

func scanSession(row scanner) (s Session, err error) {
	var created, seen, expires, idle, userCreated, userUpdated, userSignedIn, userSuspended int64
	var text, groups string
	u := &s.User
	err = row.Scan(&s.TokenHash, &s.UserID, &s.IdP.UID, &s.IdP.Name, &s.SessionIndex, &s.EmailDomain, &created, &seen, &expires, &idle, &s.SecondFactorPending, &text,
		&u.ID, &u.Email, &u.FirstName, &u.LastName, &u.IdP.UID, &u.IdP.Name, &userCreated, &userUpdated, &userSignedIn, &u.LastSignInIP, &userSuspended, &u.SuspendReason, &groups)
	if err != nil {
		return s, notFound(err)
	}
	u.CreatedAt, u.UpdatedAt, u.LastSignInAt, u.SuspendedAt = fromMicros(userCreated), fromMicros(userUpdated), fromMicros(userSignedIn), fromMicros(userSuspended)
	s.CreatedAt, s.LastSeenAt, s.ExpiresAt, s.IdleTimeout = fromMicros(created), fromMicros(seen), fromMicros(expires), time.Duration(idle)*time.Microsecond
	var doc sessionDocument
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return s, err
	}
	s.NameID, s.AuthnContext, s.ReturnURL, s.IP, s.UserAgent = doc.NameID, doc.AuthnContext, doc.ReturnURL, doc.IP, doc.UserAgent
	s.Audience, s.Parent = doc.Audience, doc.Parent
	if err := json.Unmarshal([]byte(groups), &s.Groups); err != nil {
		return s, err
	}
	slices.Sort(s.Groups)
	return s, nil
}

// sessionOfHash leaves out one that a clock has opened which was set back since: its end may be far away.
const sessionOfHash = ` WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.created_at <= $3`

// SessionByHash is one indexed read.
func (d *DB) SessionByHash(ctx context.Context, hash []byte) (Session, error) {
	now := d.now()
	if d.sessionByHash != nil {
		return scanSession(d.sessionByHash.QueryRowContext(ctx, hash, micros(now), micros(now.Add(ClockSlack))))
	}
	return scanSession(d.read.QueryRowContext(ctx, d.sessionSelect()+sessionOfHash, hash, micros(now), micros(now.Add(ClockSlack))))
}

// Session locks the session, so that nobody ends it while something is made of it.
func (t *txn) Session(hash []byte) (Session, error) {
	return scanSession(t.sql.QueryRowContext(t.ctx, t.db.sessionSelect()+sessionOfHash+t.db.dialect.lockSession, hash, micros(t.at), micros(t.at.Add(ClockSlack))))
}

// Sessions lists sessions, newest first.
func (d *DB) Sessions(ctx context.Context, q SessionQuery) ([]Session, string, error) {
	var w where
	w.add("s.expires_at > %s", micros(d.now()))
	if q.UserID != "" {
		w.add("s.user_id = %s", q.UserID)
	}
	if q.IdPUID != "" {
		w.add("s.idp_uid = %s", q.IdPUID)
	}
	if q.Cursor != "" {
		at, hash, err := parseSessionCursor(q.Cursor)
		if err != nil {
			return nil, "", err
		}
		w.args = append(w.args, at, hash)
		w.conditions = append(w.conditions, fmt.Sprintf("(s.created_at, s.token_hash) < ($%d, $%d)", len(w.args)-1, len(w.args)))
	}
	limit := limitOf(q.Limit, 1000)
	rows, err := d.read.QueryContext(ctx, d.sessionSelect()+w.String()+fmt.Sprintf(" ORDER BY s.created_at DESC, s.token_hash DESC LIMIT %d", limit), w.args...)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	var sessions []Session
	for rows.Next() {
		s, err := scanSession(rows)
		if err != nil {
			return nil, "", err
		}
		sessions = append(sessions, s)
	}
	next := ""
	if len(sessions) == limit {
		last := sessions[limit-1]
		next = strconv.FormatInt(micros(last.CreatedAt), 36) + "." + hex.EncodeToString(last.TokenHash)
	}
	return sessions, next, rows.Err()
}

// SessionDomains are the pairs of IdP and e-mail domain that have sessions now: a scan of one index.
func (d *DB) SessionDomains(ctx context.Context) ([]SessionDomain, error) {
	rows, err := d.read.QueryContext(ctx, `SELECT DISTINCT idp_uid, email_domain FROM sessions ORDER BY idp_uid, email_domain`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []SessionDomain
	for rows.Next() {
		var s SessionDomain
		if err := rows.Scan(&s.IdPUID, &s.Domain); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// IdPs goes from one IdP to the next along the indexes, so that its cost grows with the IdPs and not with the people.
func (d *DB) IdPs(ctx context.Context) ([]IdPRef, error) {
	names := map[string]string{}
	for _, from := range []string{"sessions WHERE idp_uid %s", "links WHERE idp_uid %s", "groups_of_idps WHERE invalidated_at = 0 AND idp_uid %s"} {
		first, next, name := fmt.Sprintf(from, "> ''"), fmt.Sprintf(from, "> uid"), fmt.Sprintf(from, "= uid")
		// #nosec G202 -- of the constants above
		rows, err := d.read.QueryContext(ctx, `WITH RECURSIVE uids (uid) AS (SELECT min(idp_uid) FROM `+first+` UNION ALL SELECT (SELECT min(idp_uid) FROM `+next+`) FROM uids WHERE uid IS NOT NULL)
			SELECT uid, (SELECT idp_name FROM `+name+` LIMIT 1) FROM uids WHERE uid IS NOT NULL`)
		if err != nil {
			return nil, err
		}
		if err := addNames(rows, names); err != nil {
			return nil, err
		}
	}
	var idps []IdPRef
	for _, uid := range slices.Sorted(maps.Keys(names)) {
		idps = append(idps, IdPRef{UID: uid, Name: names[uid]})
	}
	return idps, nil
}

func addNames(rows *sql.Rows, names map[string]string) error {
	defer rows.Close()
	for rows.Next() {
		var uid string
		var name sql.NullString // gone between the two looks at it
		if err := rows.Scan(&uid, &name); err != nil {
			return err
		}
		names[uid] = cmp.Or(name.String, names[uid])
	}
	return rows.Err()
}

func parseSessionCursor(cursor string) (at int64, hash []byte, err error) {
	first, second, ok := strings.Cut(cursor, ".")
	at, err1 := strconv.ParseInt(first, 36, 64)
	hash, err2 := hex.DecodeString(second)
	if !ok || err1 != nil || err2 != nil {
		return 0, nil, ErrCursor
	}
	return at, hash, nil
}

// TouchSessions moves LastSeen forward, in one statement, and back where a clock has written it that was set back since.
func (d *DB) TouchSessions(ctx context.Context, touches []Touch) error {
	if len(touches) == 0 {
		return nil
	}
	// The order of the rows is the order of their locks: the same for every replica.
	slices.SortFunc(touches, func(a, b Touch) int { return slices.Compare(a.Hash, b.Hash) })
	args := make([]any, 0, 2*len(touches))
	for _, t := range touches {
		args = append(args, t.Hash, micros(t.At))
	}
	values := placeholders(1, len(touches), 2)
	if d.dialect.notify { // PostgreSQL wants to be told the types of a list of values
		values = strings.Replace(values, "($1,$2)", "($1::bytea,$2::bigint)", 1)
	}
	_, err := d.write.ExecContext(ctx, `WITH touched(hash, at) AS (VALUES `+values+`)
		UPDATE sessions SET last_seen_at = touched.at FROM touched WHERE token_hash = touched.hash AND (last_seen_at < touched.at OR last_seen_at > touched.at + `+strconv.FormatInt(ClockSlack.Microseconds(), 10)+`)`, args...)
	return err
}

func (t *txn) CreateSession(s Session) error {
	text, err := document(sessionDocument{s.NameID, s.AuthnContext, s.ReturnURL, s.IP, s.UserAgent, s.Audience, s.Parent})
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO sessions (token_hash, user_id, idp_uid, idp_name, name_id, session_index, email_domain, created_at, last_seen_at, expires_at, idle_timeout, second_factor_pending, document)
		VALUES `+placeholders(1, 1, 13),
		s.TokenHash, s.UserID, s.IdP.UID, s.IdP.Name, nameIDKey(s.NameID), s.SessionIndex, s.EmailDomain, micros(s.CreatedAt), micros(s.LastSeenAt), micros(s.ExpiresAt),
		s.IdleTimeout.Microseconds(), s.SecondFactorPending, text)
	return err
}

// nameIDKey is what a LogoutRequest's NameID is compared by: its value. Format and qualifiers are left out, because IdPs are known to omit them there.
func nameIDKey(n NameID) string { return valid(n.Value) }

func (t *txn) EndSessions(m SessionMatch) ([]EndedSession, error) {
	w, err := m.where()
	if err != nil {
		return nil, err
	}
	ended, err := t.endSessions(w, m.Limit)
	if err != nil {
		return nil, err
	}
	if m.TokenHash == nil && m.SessionPrefix == "" {
		// What was handed over is of the same user, IdP, name ID and domain, so that every other match finds it: this statement the one that a transaction has just added
		// which held one of those locked, and the one whose token it has changed.
		left := limitOf(m.Limit, 1000) - len(ended)
		if left == 0 {
			return ended, nil
		}
		late, err := t.endSessions(w, left)
		return append(ended, late...), err
	}
	for _, e := range ended {
		children, err := t.endChildren(e)
		if err != nil {
			return nil, err
		}
		ended = append(ended, children...)
	}
	return ended, nil
}

// endChildren ends what was handed over from a session. A quote within a value of the document is written otherwise, so that none can pose as the parent.
func (t *txn) endChildren(parent EndedSession) ([]EndedSession, error) {
	var w where
	w.add("user_id = %s", parent.UserID)
	w.add("document LIKE %s", `%"parent":"`+hex.EncodeToString(parent.TokenHash)+`"%`)
	return t.endSessions(w, 0)
}

func (t *txn) endSessions(w where, limit int) ([]EndedSession, error) {
	rows, err := t.sql.QueryContext(t.ctx, fmt.Sprintf(`DELETE FROM sessions WHERE token_hash IN (SELECT token_hash FROM sessions%s LIMIT %d)
		RETURNING token_hash, user_id, idp_uid, idp_name, session_index, document, (SELECT email FROM users WHERE users.id = sessions.user_id)`, w.String(), limitOf(limit, 1000)), w.args...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var ended []EndedSession
	for rows.Next() {
		var e EndedSession
		var text string
		var email *string
		if err := rows.Scan(&e.TokenHash, &e.UserID, &e.IdP.UID, &e.IdP.Name, &e.SessionIndex, &text, &email); err != nil {
			return nil, err
		}
		var doc sessionDocument
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			return nil, err
		}
		if e.NameID = doc.NameID; email != nil {
			e.Email = *email
		}
		ended = append(ended, e)
		t.evictions = append(t.evictions, Eviction{Scope: EvictSession, Hash: e.TokenHash})
	}
	return ended, rows.Err()
}

func (m SessionMatch) where() (where, error) {
	var w where
	if m.TokenHash != nil {
		w.add("token_hash = %s", m.TokenHash)
	}
	if m.SessionPrefix != "" {
		low, err := hex.DecodeString(m.SessionPrefix + strings.Repeat("0", len(m.SessionPrefix)%2))
		high, _ := hex.DecodeString(m.SessionPrefix + strings.Repeat("f", len(m.SessionPrefix)%2))
		if err != nil || len(m.SessionPrefix) < 8 || len(m.SessionPrefix) > 64 {
			return w, errors.New("a session is named by 8 to 64 hex digits of its hash")
		}
		w.add("token_hash >= %s", slices.Concat(low, make([]byte, 32-len(low))))
		w.add("token_hash <= %s", slices.Concat(high, slices.Repeat([]byte{0xff}, 32-len(high))))
	}
	if m.UserID != "" {
		w.add("user_id = %s", m.UserID)
	}
	if m.IdPUID != "" {
		w.add("idp_uid = %s", m.IdPUID)
	}
	if m.Domain != "" {
		w.add("email_domain = %s", m.Domain)
	}
	if m.NameID != nil {
		w.add("name_id = %s", nameIDKey(*m.NameID))
		var indexes []any
		for _, i := range m.SessionIndexes {
			indexes = append(indexes, i)
		}
		w.in("session_index", indexes)
	}
	if len(w.conditions) == 0 {
		return w, errors.New("no session is named")
	}
	if m.Except != nil {
		w.add("token_hash <> %s", m.Except)
	}
	return w, nil
}

func (t *txn) UpdateSession(hash []byte, u SessionUpdate) error {
	n := int64(1)
	var err error
	if u.SecondFactorDone {
		n, err = t.exec(`UPDATE sessions SET second_factor_pending = $2 WHERE token_hash = $1 AND expires_at > $3`, hash, false, micros(t.at))
	}
	if err == nil && n == 1 && u.NewTokenHash != nil {
		n, err = t.exec(`UPDATE sessions SET token_hash = $2 WHERE token_hash = $1 AND expires_at > $3`, hash, u.NewTokenHash, micros(t.at))
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	t.evictions = append(t.evictions, Eviction{Scope: EvictSession, Hash: hash})
	return nil
}

func (t *txn) EvictUser(userID string) error {
	rows, err := t.sql.QueryContext(t.ctx, `SELECT token_hash FROM sessions WHERE user_id = $1`, userID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var hash []byte
		if err := rows.Scan(&hash); err != nil {
			return err
		}
		t.evictions = append(t.evictions, Eviction{Scope: EvictSession, Hash: hash})
	}
	return rows.Err()
}
