package metrics

import "strings"

// Operation is a value of the label operation: what the store was asked for. There are those below and no others; their names are stable.
type Operation struct{ name string }

func (o Operation) String() string { return o.name }

// Calls of the store whose time is measured.
var (
	Transaction   = Operation{"transaction"} // what signs somebody in
	SavePending   = Operation{"save_pending"}
	Pending       = Operation{"pending"}
	Session       = Operation{"session"}
	TouchSessions = Operation{"touch_sessions"}
	WriteAudit    = Operation{"write_audit"}
	AddDebugEntry = Operation{"add_debug_entry"}
)

// What else fails while the store does not answer: what somebody waits for, then what happens beside requests.
var (
	SignIn       = Operation{"sign_in"}
	Handover     = Operation{"handover"}
	SecondFactor = Operation{"second_factor"}
	BreakGlass   = Operation{"break_glass"}
	SignInTest   = Operation{"sign_in_test"}
	SignOut      = Operation{"sign_out"}
	Logout       = Operation{"logout"}
	Account      = Operation{"account"}
	Revoke       = Operation{"revoke"}
	Admin        = Operation{"admin"}
	Management   = Operation{"management"}

	Enforce        = Operation{"enforce"}
	Sweep          = Operation{"sweep"}
	SealAudit      = Operation{"seal_audit"}
	RecordRefusals = Operation{"record_refusals"}
	AuditRetention = Operation{"audit_retention"}
	DeliverAudit   = Operation{"deliver_audit"}
)

var (
	measured = []Operation{Transaction, SavePending, Pending, Session, TouchSessions, WriteAudit, AddDebugEntry}
	failing  = []Operation{Pending, Session, WriteAudit, AddDebugEntry, SignIn, Handover, SecondFactor, BreakGlass, SignInTest, SignOut, Logout, Account, Revoke, Admin, Management,
		Enforce, Sweep, SealAudit, RecordRefusals, AuditRetention, DeliverAudit}
)

// listed are the names for a sentence.
func listed(operations []Operation) string {
	names := make([]string, len(operations))
	for i, o := range operations {
		names[i] = o.name
	}
	return strings.Join(names, ", ")
}

// StoreFailed counts an operation that failed because the store did not answer.
func (m *Metrics) StoreFailed(o Operation) { m.storeErrors.WithLabelValues(o.name).Inc() }
