package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// Spec is what is fetched for one connection, and how often.
type Spec struct {
	URL string
	// CABundle is PEM and replaces the system's roots; empty keeps them.
	CABundle []byte
	// Parse has the pinned entity ID and the certificates that must have signed. Its Now and MaxBytes are not looked at.
	Parse ParseOptions
	// Interval between two fetches; 0 is an hour.
	Interval time.Duration
	// InService is the entity ID that the connection has been trusted with, from wherever that came, while there is no good copy yet; empty: none. What is fetched
	// must have it, or the one that is pinned.
	InService string
}

// source names what a copy was fetched with: with another one, neither its ETag nor the time of its last fetch counts.
func (s Spec) source() string {
	certificates := make([][]byte, len(s.Parse.SignatureCertificates))
	for i, c := range s.Parse.SignatureCertificates {
		certificates[i] = c.Raw
	}
	// Strings and bytes always marshal.
	encoded, _ := json.Marshal([]any{s.URL, s.CABundle, s.Parse.EntityID, s.Parse.AllowHTTPLoopback, certificates})
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

// State is what is known of one connection's metadata.
type State struct {
	// Metadata is the last good copy; nil: there never was one. Use Trusted to decide what to trust.
	Metadata *Metadata
	// LastFetched is when the source last said, anew or by 304, what Metadata is; LastChanged is when that last became something else.
	LastFetched, LastChanged time.Time
	// ValidSince is when a copy with the present validUntil was first seen; how near its end is, is counted from here.
	ValidSince time.Time
	// Kept is when the copy last became worth writing: it changed, or its validUntil has moved so far on that a copy written before would
	// soon expire. Write what Saved returns when Kept is another than at the last write.
	Kept time.Time
	// NextRefresh is when it is asked again; it is in the past while it waits for its turn.
	NextRefresh time.Time
	// Changes are what LastChanged changed, from the copy before it; everything is new in the first copy.
	Changes Changes
	// Failure is why the last fetch was no good; nil: it was good, or there was none yet for this Spec.
	Failure *Error
	// FailingSince is when the first of Failures fetches in a row was no good.
	FailingSince time.Time
	Failures     int
	// Pending is true until the first fetch for the present Spec has ended.
	Pending bool
}

// Trusted returns what may be trusted now: the last good copy, whatever happened since, until its validUntil is over. Nil: nothing.
func (s State) Trusted(now time.Time) *Metadata {
	if validity, _ := s.Validity(now); validity == ValidityExpired {
		return nil
	}
	return s.Metadata
}

// Validity judges the last good copy, and says when the verdict changes by itself; zero: never.
func (s State) Validity(now time.Time) (validity Validity, until time.Time) {
	if s.Metadata == nil {
		return ValidityGood, time.Time{}
	}
	return s.Metadata.ValidityAt(s.ValidSince, now)
}

// NextTransition returns when something about the state changes by itself: its validity, or a certificate that passes a threshold of its
// expiry; zero: never. Look at the state again then, besides whenever the Refresher says so.
func (s State) NextTransition(now time.Time) time.Time {
	if s.Metadata == nil {
		return time.Time{}
	}
	_, next := s.Validity(now)
	for _, c := range s.Metadata.Certificates {
		if at := NextExpiryThreshold(c.NotAfter, now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// savedVersion changes when an older reader would misread the newer form.
const savedVersion = 1

// maxSavedBytes bounds what is restored: a Secret holds no more.
const maxSavedBytes = 1 << 20

// saved is a good copy as it is kept outside, across restarts.
type saved struct {
	Version      int       `json:"version"`
	URL          string    `json:"url"`
	Source       string    `json:"source"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"lastModified,omitempty"`
	Fetched      time.Time `json:"fetched"`
	Changed      time.Time `json:"changed"`
	ValidSince   time.Time `json:"validSince"`
	Kept         time.Time `json:"kept"`
	Metadata     *Metadata `json:"metadata"`
}

func (s *saved) marshal() []byte {
	if s == nil {
		return nil
	}
	// Strings, bytes, numbers and times between the years 0 and 9999 always marshal.
	encoded, _ := json.Marshal(s)
	return encoded
}

// unmarshalSaved reads what marshal wrote and checks that it can be worked with.
func unmarshalSaved(data []byte) (*saved, error) {
	s := &saved{}
	if len(data) > maxSavedBytes || json.Unmarshal(data, s) != nil {
		return nil, errors.New("the saved metadata cannot be read")
	}
	if s.Version != savedVersion {
		return nil, errors.New("the saved metadata was written by another version")
	}
	m := s.Metadata
	if m == nil || m.Trust.EntityID == "" || len(m.Trust.SSO) == 0 || len(m.Trust.SigningCertificates) == 0 || m.Digest != digest(m.Trust) {
		return nil, errors.New("the saved metadata is not complete")
	}
	for _, list := range [][][]byte{m.Trust.SigningCertificates, m.Trust.EncryptionCertificates} {
		for _, der := range list {
			if _, err := x509.ParseCertificate(der); err != nil {
				return nil, errors.New("the saved metadata has a certificate that does not parse")
			}
		}
	}
	return s, nil
}
