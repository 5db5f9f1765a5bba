package secondfactor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

// ceremonyTime is how long a person may take at the authenticator.
const ceremonyTime = 5 * time.Minute

// The two halves of a ceremony must be of the same kind.
const (
	ceremonyEnrol  = "enrol"
	ceremonyVerify = "verify"
)

// Ceremony is the first half: Options go to navigator.credentials, State comes back with the answer.
type Ceremony struct {
	Options json.RawMessage
	State   string
}

// passkeyUser is a user as the WebAuthn library sees them.
type passkeyUser struct {
	user        store.User
	credentials []webauthn.Credential
	// factors are the rows of the credentials, in the same order.
	factors []store.SecondFactor
}

func (u *passkeyUser) WebAuthnID() []byte                         { return []byte(u.user.ID) }
func (u *passkeyUser) WebAuthnName() string                       { return u.user.Email }
func (u *passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.credentials }
func (u *passkeyUser) WebAuthnDisplayName() string {
	if name := u.user.Name(); name != "" {
		return name
	}
	return u.user.Email
}

func passkeyPurpose(userID, id string) string { return "passkey/" + userID + "/" + id }

// passkeyID names the row: one credential of one user.
func passkeyID(userID string, credentialID []byte) string {
	sum := sha256.Sum256(append([]byte(userID+"\n"), credentialID...))
	return hex.EncodeToString(sum[:16])
}

func (s *Service) passkeys(a *attempt) (*passkeyUser, error) {
	u := &passkeyUser{user: a.user}
	for _, f := range a.factors {
		if f.Kind != store.FactorPasskey || !f.Confirmed {
			continue
		}
		text, err := s.box.open(passkeyPurpose(a.user.ID, f.ID), f.Secret)
		if err != nil {
			return nil, err
		}
		var c webauthn.Credential
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, err
		}
		u.credentials, u.factors = append(u.credentials, c), append(u.factors, f)
	}
	return u, nil
}

func (s *Service) savePasskey(a *attempt, f store.SecondFactor, c *webauthn.Credential) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f.Secret, f.Counter = s.box.seal(passkeyPurpose(a.user.ID, f.ID), text), int64(c.Authenticator.SignCount)
	return a.tx.SaveSecondFactor(f)
}

// begin seals the library's session data into the state.
func (s *Service) begin(a *attempt, kind string, options any, data *webauthn.SessionData) (*Ceremony, error) {
	sessionText, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	state, err := s.box.sealCeremony(kind, ceremony{UserID: a.user.ID, Until: a.tx.Now().Add(ceremonyTime), Session: sessionText})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(options)
	return &Ceremony{Options: text, State: state}, err
}

// resume opens the state and uses its challenge up: a ceremony is finished once, whichever replica it comes to.
func (s *Service) resume(a *attempt, kind, state string) (webauthn.SessionData, error) {
	var data webauthn.SessionData
	c, err := s.box.openCeremony(kind, state, a.user.ID, a.tx.Now())
	if err != nil {
		return data, err
	}
	if err := json.Unmarshal(c.Session, &data); err != nil {
		return data, ErrWrong
	}
	// The library looks at the wall clock; the store's clock has judged already.
	data.Expires = time.Time{}
	err = a.tx.RememberAssertion("passkey", data.Challenge, c.Until)
	if errors.Is(err, store.ErrReplayed) {
		return data, ErrWrong
	}
	return data, err
}

// BeginPasskey starts the enrolment of a passkey.
func (s *Service) BeginPasskey(ctx context.Context, key session.Key) (*Ceremony, error) {
	var out *Ceremony
	_, err := s.do(ctx, key, By{}, store.FactorPasskey, func(a *attempt) error {
		if err := a.mayEnrol(); err != nil {
			return err
		}
		u, err := s.passkeys(a)
		if err != nil {
			return err
		}
		options, data, err := s.rp.BeginRegistration(u,
			webauthn.WithExclusions(webauthn.Credentials(u.credentials).CredentialDescriptors()),
			webauthn.WithConveyancePreference(protocol.PreferNoAttestation))
		if err != nil {
			return err
		}
		out, err = s.begin(a, ceremonyEnrol, options, data)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// FinishPasskey enrols the passkey. A waiting session passes with it. response is the credential as JSON (WebAuthn Level 3, 5.1 toJSON).
func (s *Service) FinishPasskey(ctx context.Context, key session.Key, state string, response []byte, label string, by By) (*Result, error) {
	var p passed
	r, err := s.do(ctx, key, by, store.FactorPasskey, func(a *attempt) error {
		p = passed{}
		if err := a.mayEnrol(); err != nil {
			return err
		}
		data, err := s.resume(a, ceremonyEnrol, state)
		if err != nil {
			return err
		}
		u, err := s.passkeys(a)
		if err != nil {
			return err
		}
		parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
		if err != nil {
			return ErrWrong
		}
		c, err := s.rp.CreateCredential(u, data, parsed)
		if err != nil {
			return ErrWrong
		}
		if label = cut(label); label == "" {
			label = "Passkey"
		}
		f := store.SecondFactor{ID: passkeyID(a.user.ID, c.ID), UserID: a.user.ID, Kind: store.FactorPasskey, Label: label, Confirmed: true, CreatedAt: a.tx.Now(), LastUsedAt: a.tx.Now()}
		if err := s.savePasskey(a, f, c); err != nil {
			return err
		}
		return s.enrol(a, store.FactorPasskey, &p)
	})
	return p.into(r, err)
}

// BeginVerifyPasskey starts the second step with a passkey; ErrNotEnrolled when the user has none.
func (s *Service) BeginVerifyPasskey(ctx context.Context, key session.Key) (*Ceremony, error) {
	var out *Ceremony
	_, err := s.do(ctx, key, By{}, store.FactorPasskey, func(a *attempt) error {
		u, err := s.passkeys(a)
		if err != nil {
			return err
		}
		if len(u.credentials) == 0 {
			return ErrNotEnrolled
		}
		options, data, err := s.rp.BeginLogin(u)
		if err != nil {
			return err
		}
		out, err = s.begin(a, ceremonyVerify, options, data)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// VerifyPasskey passes the second step with a passkey. A signature counter that went back (a cloned authenticator) is refused.
func (s *Service) VerifyPasskey(ctx context.Context, key session.Key, state string, response []byte, by By) (*Result, error) {
	var p passed
	r, err := s.do(ctx, key, by, store.FactorPasskey, func(a *attempt) error {
		p = passed{}
		data, err := s.resume(a, ceremonyVerify, state)
		if err != nil {
			return err
		}
		u, err := s.passkeys(a)
		if err != nil {
			return err
		}
		parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
		if err != nil {
			return ErrWrong
		}
		c, err := s.rp.ValidateLogin(u, data, parsed)
		if err != nil || c.Authenticator.CloneWarning {
			return ErrWrong
		}
		for i, f := range u.factors {
			if string(u.credentials[i].ID) == string(c.ID) {
				f.LastUsedAt = a.tx.Now()
				if err := s.savePasskey(a, f, c); err != nil {
					return err
				}
				return a.pass(store.FactorPasskey, &p)
			}
		}
		return ErrWrong
	})
	return p.into(r, err)
}
