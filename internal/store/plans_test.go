package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// TestQueriesOfTheHotPathsUseIndexes asks both planners how they would run what happens at every sign-in, check and sweep, on tables with rows and statistics.
// A plan that reads a whole table would grow with the number of users, sessions or records.
func TestQueriesOfTheHotPathsUseIndexes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		d := storetest.Open(t, storeURL, store.Options{})
		postgres := strings.HasPrefix(storeURL, "postgres")
		fill(t, d, postgres, 5000)
		for name, query := range store.HotQueries(d) {
			plan := explain(t, d, postgres, query)
			for line := range strings.SplitSeq(plan, "\n") {
				bad := strings.Contains(line, "Seq Scan") && !strings.Contains(line, "audit_writers") && !strings.Contains(line, "audit_cursors") && !strings.Contains(line, "idp_uid") ||
					strings.HasPrefix(strings.TrimSpace(line), "SCAN ") && !strings.Contains(line, "INDEX") && !strings.Contains(line, "touched") && !strings.Contains(line, "subquery")
				if bad {
					t.Errorf("%s reads a whole table:\n%s", name, plan)
					break
				}
			}
		}
	})
}

func explain(t *testing.T, d *store.DB, postgres bool, query store.HotQuery) string {
	t.Helper()
	prefix := "EXPLAIN QUERY PLAN "
	if postgres {
		prefix = "EXPLAIN "
	}
	rows, err := store.Write(d).Query(prefix+query.Text, query.Args...)
	if err != nil {
		t.Fatalf("%s: %v", query.Text, err)
	}
	defer rows.Close()
	var out strings.Builder
	for rows.Next() {
		var a, b, c int
		var text string
		if postgres {
			err = rows.Scan(&text)
		} else {
			err = rows.Scan(&a, &b, &c, &text)
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, text)
	}
	return out.String()
}

// groupsOfCrowd is how many groups the users of fill share; crowdGroups are those of the i-th.
const groupsOfCrowd = 5000

func crowdGroups(i int64) (names []string) {
	for k := range int64(3) {
		names = append(names, fmt.Sprintf("group%d", 1+(7*i+k)%groupsOfCrowd))
	}
	return names
}

// fill makes n users as sign-ins leave them, each with a link, three groups, a profile, a session and an audit record; with tables named, it fills these alone.
// Identifiers are in the order of time, as the store makes them, so that new rows come to lie where they would.
func fill(t testing.TB, d *store.DB, postgres bool, n int, tables ...string) {
	t.Helper()
	hash, id := `randomblob(32)`, `printf('01900000-0000-7000-8000-%012x', i)`
	if postgres {
		hash, id = `sha256(CAST(CAST(i AS TEXT) AS BYTEA))`, `'01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')`
	}
	words := strings.NewReplacer("{id}", id, "{hash}", hash, "{i}", "CAST(i AS TEXT)")
	// rows is a row for each i up to most; "k" in from has three for each.
	rows := func(most int, from, columns string) string {
		return fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d), k(k) AS (SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2) SELECT %s FROM %s`,
			most, words.Replace(columns), from)
	}
	statements := []string{
		`INSERT INTO users (id, email, first_name, last_name, idp_uid, idp_name, created_at, updated_at, last_sign_in_at, last_sign_in_ip, suspended_at, suspend_reason) ` +
			rows(n, `n`, `{id}, 'user' || {i} || '@example.com', 'Alice', 'Liddell', 'idp', 'idp', 1, 1, 1, '203.0.113.7', 0, ''`),
		`INSERT INTO links (user_id, idp_uid, idp_name, subject, attributes, raw, created_at, recorded_at) ` +
			rows(n, `n`, `{id}, 'idp', 'idp', 's' || {i}, '{"department":"ML"}', '{"department":["ML"],"firstName":["Alice"],"lastName":["Liddell"]}', 1, 1`),
		`INSERT INTO groups_of_idps (id, idp_uid, idp_name, name, discovered_at, invalidated_at) ` + rows(groupsOfCrowd, `n`, `'g' || {i}, 'idp', 'idp', 'group' || {i}, 1, 0`),
		`INSERT INTO memberships (user_id, group_id, claimed, ruled) ` + rows(n, `n, k`, fmt.Sprintf(`{id}, 'g' || CAST(1 + (7 * i + k) %% %d AS TEXT), true, false`, groupsOfCrowd)),
		`INSERT INTO profiles (user_id, document) ` + rows(n, `n`, `{id}, '{"department":{"value":"ML","source":"idp","idpUID":"idp","updatedAt":"2026-01-01T00:00:00Z"}}'`),
		`INSERT INTO sessions (token_hash, user_id, idp_uid, idp_name, name_id, session_index, email_domain, created_at, last_seen_at, expires_at, idle_timeout, second_factor_pending, document) ` +
			rows(n, `n`, `{hash}, {id}, 'idp', 'idp', 's' || {i}, '', 'example.com', i, i, 9999999999999999, 0, false, '{}'`),
		`INSERT INTO pending_requests (handle_hash, idp_uid, expires_at, document) ` + rows(n, `n`, `{hash}, 'idp', i, '{}'`),
		`INSERT INTO seen_assertions (idp_uid, assertion_hash, until) ` + rows(n, `n`, `'idp', {hash}, i`),
		`INSERT INTO evictions (id, at, hash) ` + rows(n, `n`, `{id}, i, {hash}`),
		`INSERT INTO second_factors (id, user_id, kind, label, secret, confirmed, counter, created_at, last_used_at) ` + rows(n, `n`, `{id}, {id}, 'totp', '', {hash}, true, 0, 1, 1`),
		`INSERT INTO debug_entries (id, reference, at, idp_uid, idp_name, error_type, document, xml) ` + rows(n, `n`, `{id}, 'r' || {i}, i, 'idp', 'idp', 'expired', '{}', {hash}`),
		`INSERT INTO audit_records (id, writer, sequence, at, type, outcome, actor, idp, request, line) ` +
			rows(n, `n`, `{id}, 'w', i, i, 'user_signed_in_saml', 'success', 'user' || {i} || '@example.com', 'idp', 'r' || {i}, '{}'`),
		`INSERT INTO audit_writers (writer, sequence, hash, sealed_sequence, sealed_at, first_sequence) VALUES ('w', 5000, '', 0, 1, 1)`,
		`ANALYZE`,
	}
	for _, s := range statements {
		if words := strings.Fields(s); len(tables) > 0 && words[0] == "INSERT" && !slices.Contains(tables, words[2]) {
			continue
		}
		if postgres && s != `ANALYZE` {
			s = `SET session_replication_role = replica; ` + s + `; SET session_replication_role = DEFAULT` // foreign keys hold by construction
		}
		if err := store.Exec(d, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
