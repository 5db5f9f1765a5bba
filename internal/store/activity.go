package store

import (
	"context"
	"fmt"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// Activity is how many sign-ins through an IdP ended in one way within one hour.
type Activity struct {
	// Hour is when it began, in UTC. IdP is the name that the records carry.
	Hour    time.Time
	IdP     string
	Success bool
	Count   int
}

const microsPerHour = int64(time.Hour / time.Microsecond)

// signInTypes are the records of sign-ins; the first is the one that succeeded.
var signInTypes = []audit.Type{audit.TypeUserSignedInSAML, audit.TypeSAMLAssertionFailed, audit.TypeSAMLAssertionReplayed, audit.TypeEmailDomainNotBound}

// SignInActivity counts sign-ins and refused responses per hour and IdP since a time, from the audit records: one that counts many is many.
func (d *DB) SignInActivity(ctx context.Context, since time.Time) ([]Activity, error) {
	args := []any{idFloor(since)}
	for _, t := range signInTypes {
		args = append(args, t.String())
	}
	args = append(args, audit.TypeRefusalsCounted.String())
	rows, err := d.read.QueryContext(ctx, fmt.Sprintf(`SELECT at / %d AS hour, idp, type = $2, SUM(CASE WHEN type = $6 THEN %s ELSE 1 END) FROM audit_records
		WHERE id >= $1 AND (type IN ($2, $3, $4, $5) OR type = $6 AND %s IN ($3, $4, $5)) AND idp <> '' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
		microsPerHour, fmt.Sprintf(d.dialect.detailCount, "count"), fmt.Sprintf(d.dialect.detail, "type")), args...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []Activity
	for rows.Next() {
		var a Activity
		var hour int64
		if err := rows.Scan(&hour, &a.IdP, &a.Success, &a.Count); err != nil {
			return nil, err
		}
		a.Hour = fromMicros(hour * microsPerHour)
		out = append(out, a)
	}
	return out, rows.Err()
}
