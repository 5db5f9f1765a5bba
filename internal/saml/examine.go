package saml

import (
	"context"
	"reflect"
	"runtime"
	"strings"
	"time"
)

// Verdict is what came of one check.
type Verdict string

// The verdicts. NotReached means that an earlier check refused, so that there was nothing to look at.
const (
	VerdictPassed     Verdict = "passed"
	VerdictFailed     Verdict = "failed"
	VerdictNotReached Verdict = "not_reached"
)

// Checked is one check of an examination. Refusal is set when it failed.
type Checked struct {
	Name    string
	Verdict Verdict
	Refusal *Refusal
}

// stepTitles say what each step looks at, for people, by the name of its method.
var stepTitles = map[string]string{
	"checkPending":        "Response to our request",
	"checkShape":          "Structure of the response",
	"checkProfile":        "Status, destination, issuer and time of the response",
	"verifyResponse":      "Signature of the response, where there is one",
	"checkAssertionCount": "Exactly one assertion",
	"decryptAssertion":    "Encryption of the assertion, where there is one",
	"verifyAssertion":     "Signature of the assertion, or of the response around it",
	"readAssertion":       "Issuer and version of the assertion",
	"checkSubject":        "Subject: recipient, time and request",
	"checkConditions":     "Conditions: audience and time",
	"checkAuthnStatement": "Authentication: context and time",
	"readAttributes":      "Attributes",
}

// titleOf finds the title of a step.
func titleOf(s step) string {
	name := runtime.FuncForPC(reflect.ValueOf(s).Pointer()).Name()
	return stepTitles[name[strings.LastIndexByte(name, '.')+1:]]
}

// firstIndependent is the title of the first step that looks at verified bytes alone: it and those after it are made whatever the others found.
const firstIndependent = "Subject: recipient, time and request"

// Examine makes the checks of Accept and tells of each: for test runs, never to sign anybody in. The refusal, where there is one, is the one that Accept
// would have given; later checks are still made where they look at bytes whose signature is good.
func (c *Connection) Examine(ctx context.Context, samlResponse string, pending *Pending, now time.Time) (checks []Checked, assertion *Assertion, refusal *Refusal) {
	a := &acceptance{Connection: c, pending: pending, now: now}
	defer func() {
		if p := recover(); p != nil {
			assertion, refusal = nil, c.refuse(ReasonMalformed, CheckPanic, "", "", "The response could not be read.")
		}
		if refusal != nil {
			assertion = nil
			a.describe(refusal)
		}
	}()
	// independent is set once everything that the remaining checks look at is verified.
	independent := false
	run := func(name string, check func() *Refusal) {
		checked := Checked{Name: name, Verdict: VerdictNotReached}
		if refusal == nil || independent {
			if r := check(); r != nil {
				checked.Verdict, checked.Refusal = VerdictFailed, r
				if refusal == nil {
					refusal = r
				}
			} else {
				checked.Verdict = VerdictPassed
			}
		}
		checks = append(checks, checked)
	}
	run("Base64 and XML within the limits", func() *Refusal { return a.read(samlResponse) })
	for _, s := range steps {
		title := titleOf(s)
		independent = independent || title == firstIndependent && refusal == nil
		run(title, func() *Refusal {
			if ctx.Err() != nil {
				return a.refuse(ReasonLimitExceeded, CheckLimits, "", "", "The request was given up before the response was checked.")
			}
			return s(a)
		})
	}
	a.out.XML = a.xml
	return checks, &a.out, refusal
}
