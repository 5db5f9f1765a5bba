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

// fill makes n users with a link, a group, a session and an audit record each; with tables named, it fills these alone.
func fill(t testing.TB, d *store.DB, postgres bool, n int, tables ...string) {
	t.Helper()
	series, hash := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n), `randomblob(32)`
	concat := func(parts ...string) string { return strings.Join(parts, " || ") }
	uuid := `lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-7000-8000-' || lower(hex(randomblob(6)))`
	if postgres {
		hash, uuid = `sha256(CAST(CAST(i AS TEXT) AS BYTEA))`, `CAST(gen_random_uuid() AS TEXT)`
	}
	i := `CAST(i AS TEXT)`
	statements := []string{
		`INSERT INTO users (id, email, first_name, last_name, idp_uid, idp_name, created_at, updated_at, last_sign_in_at, last_sign_in_ip, suspended_at, suspend_reason) ` + series +
			`SELECT ` + concat(`'u'`, i) + `, ` + concat(`'user'`, i, `'@example.com'`) + `, '', '', 'idp', 'idp', 1, 1, 1, '', 0, '' FROM n`,
		`INSERT INTO links (user_id, idp_uid, idp_name, subject, attributes, raw, created_at, recorded_at) ` + series + `SELECT ` + concat(`'u'`, i) + `, 'idp', 'idp', ` + concat(`'s'`, i) + `, '{}', '{}', 1, 1 FROM n`,
		`INSERT INTO groups_of_idps (id, idp_uid, idp_name, name, discovered_at, invalidated_at) ` + series + `SELECT ` + concat(`'g'`, i) + `, 'idp', 'idp', ` + concat(`'group'`, i) + `, 1, 0 FROM n`,
		`INSERT INTO memberships (user_id, group_id, claimed, ruled) ` + series + `SELECT ` + concat(`'u'`, i) + `, ` + concat(`'g'`, i) + `, true, false FROM n`,
		`INSERT INTO profiles (user_id, document) ` + series + `SELECT ` + concat(`'u'`, i) + `, '{}' FROM n`,
		`INSERT INTO sessions (token_hash, user_id, idp_uid, idp_name, name_id, session_index, email_domain, created_at, last_seen_at, expires_at, idle_timeout, second_factor_pending, document) ` + series +
			`SELECT ` + hash + `, ` + concat(`'u'`, i) + `, 'idp', 'idp', ` + concat(`'n'`, i) + `, '', 'example.com', i, i, 9999999999999999, 0, false, '{}' FROM n`,
		`INSERT INTO pending_requests (handle_hash, idp_uid, expires_at, document) ` + series + `SELECT ` + hash + `, 'idp', i, '{}' FROM n`,
		`INSERT INTO seen_assertions (idp_uid, assertion_hash, until) ` + series + `SELECT 'idp', ` + hash + `, i FROM n`,
		`INSERT INTO evictions (id, at, hash) ` + series + `SELECT ` + uuid + `, i, ` + hash + ` FROM n`,
		`INSERT INTO second_factors (id, user_id, kind, label, secret, confirmed, counter, created_at, last_used_at) ` + series + `SELECT ` + uuid + `, ` + concat(`'u'`, i) + `, 'totp', '', ` + hash + `, true, 0, 1, 1 FROM n`,
		`INSERT INTO debug_entries (id, reference, at, idp_uid, idp_name, error_type, document, xml) ` + series + `SELECT ` + uuid + `, ` + concat(`'r'`, i) + `, i, 'idp', 'idp', 'expired', '{}', ` + hash + ` FROM n`,
		`INSERT INTO audit_records (id, writer, sequence, at, type, outcome, actor, idp, request, line) ` + series +
			`SELECT ` + uuid + `, 'w', i, i, 'user_signed_in_saml', 'success', ` + concat(`'a'`, i) + `, 'idp', ` + concat(`'r'`, i) + `, '{}' FROM n`,
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
