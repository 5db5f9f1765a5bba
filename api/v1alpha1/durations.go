package v1alpha1

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as hours, minutes and seconds, such as 12h, 1h30m or 60s. Every field of this type has a rule for its
// form and its bounds.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=20
type Duration string

// Or returns the duration, or fallback when none is written. What the API server accepted always parses;
// for anything else it returns fallback too, and Parse tells why.
func (d Duration) Or(fallback time.Duration) time.Duration {
	if d == "" {
		return fallback
	}
	parsed, err := d.Parse()
	if err != nil {
		return fallback
	}
	return parsed
}

// Parse returns the duration. The error says what to write instead.
func (d Duration) Parse() (time.Duration, error) {
	parsed, err := time.ParseDuration(string(d))
	if err != nil || parsed < 0 {
		return 0, fmt.Errorf("%q is not a duration: write hours, minutes and seconds, such as 12h, 1h30m or 60s", string(d))
	}
	return parsed, nil
}

// Days is a length of time in whole days, such as 365d.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=20
type Days string

// Or returns the length of time, or fallback when none is written or it does not parse.
func (d Days) Or(fallback time.Duration) time.Duration {
	if d == "" {
		return fallback
	}
	parsed, err := d.Parse()
	if err != nil {
		return fallback
	}
	return parsed
}

// Parse returns the length of time; a day has 24 hours. The error says what to write instead.
func (d Days) Parse() (time.Duration, error) {
	number, isDays := strings.CutSuffix(string(d), "d")
	days, err := strconv.ParseUint(number, 10, 16)
	if err != nil || !isDays {
		return 0, fmt.Errorf("%q is not a number of days: write it as 365d", string(d))
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

// What holds where a field is left out. The schema carries the same values as defaults, except inside of unions, where
// a default would stand in the way of changing from one member to another.
const (
	DefaultSessionLifetime     = 12 * time.Hour
	DefaultSessionIdleTimeout  = time.Hour
	DefaultDebugRetention      = 24 * time.Hour
	DefaultDebugMaxEntries     = 500
	DefaultAuditRetention      = 365 * 24 * time.Hour
	DefaultClockSkew           = 60 * time.Second
	DefaultRefreshInterval     = time.Hour
	DefaultCertificateLifetime = 26280 * time.Hour
	DefaultRotationWindow      = 2160 * time.Hour
	DefaultKeyOverlap          = 720 * time.Hour
	DefaultHeaderKeyLifetime   = 2160 * time.Hour
	DefaultSQLiteSize          = "1Gi"
)
