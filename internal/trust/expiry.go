package trust

import "time"

// thresholds are the days before a certificate's expiry at which people are told, and expiry itself.
var thresholds = []int{90, 30, 7, 0}

const day = 24 * time.Hour

// ExpiryThreshold returns the last threshold that a certificate has passed: 90, 30 or 7 days before its expiry, or 0 once it has expired.
// due is false while there is more time than all of them.
func ExpiryThreshold(notAfter, now time.Time) (days int, due bool) {
	left := notAfter.Sub(now)
	for _, threshold := range thresholds {
		if left <= time.Duration(threshold)*day {
			days, due = threshold, true
		}
	}
	return days, due
}

// NextExpiryThreshold returns when the certificate passes its next threshold, zero when it has expired.
func NextExpiryThreshold(notAfter, now time.Time) time.Time {
	for _, threshold := range thresholds {
		if at := notAfter.Add(-time.Duration(threshold) * day); at.After(now) {
			return at
		}
	}
	return time.Time{}
}

// Validity says how metadata stands to its validUntil.
type Validity string

const (
	// ValidityGood: there is no validUntil, or more than a quarter of the time to it is left.
	ValidityGood Validity = "Good"
	// ValidityExpiring: a quarter of the time from when it was first seen to validUntil is left, or less: a refresh is overdue.
	ValidityExpiring Validity = "Expiring"
	// ValidityExpired: validUntil is over; what it says must not be trusted any more (saml-metadata 2.3.1).
	ValidityExpired Validity = "Expired"
)

// ValidityAt judges metadata that was first seen with this validUntil at since, and says when the verdict changes by itself; zero: never.
func (m *Metadata) ValidityAt(since, now time.Time) (validity Validity, until time.Time) {
	if m.ValidUntil.IsZero() {
		return ValidityGood, time.Time{}
	}
	quarter := m.ValidUntil.Add(-m.ValidUntil.Sub(since) / 4)
	switch {
	case !now.Before(m.ValidUntil):
		return ValidityExpired, time.Time{}
	case !now.Before(quarter):
		return ValidityExpiring, m.ValidUntil
	}
	return ValidityGood, quarter
}
