package secondfactor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"image/png"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

// What every authenticator app understands (RFC 6238 4, and the Key URI format): SHA-1, six digits, thirty seconds. One step of clock difference is accepted each way.
const (
	period    = 30
	stepsAway = 1
)

// TOTPEnrolment is shown once. The secret is also in the URL and the QR code.
type TOTPEnrolment struct {
	ID     string
	Secret string
	URL    string
	// QR is a PNG of 240 by 240 pixels.
	QR []byte
}

func totpPurpose(userID, id string) string { return "totp/" + userID + "/" + id }

// BeginTOTP makes a secret for the user of a session. It counts only after ConfirmTOTP; a secret that was begun before and never confirmed is forgotten.
func (s *Service) BeginTOTP(ctx context.Context, key session.Key) (*TOTPEnrolment, error) {
	var e *TOTPEnrolment
	_, err := s.do(ctx, key, By{}, store.FactorTOTP, func(a *attempt) error {
		if err := a.mayEnrol(); err != nil {
			return err
		}
		for _, f := range a.factors {
			if f.Kind == store.FactorTOTP && !f.Confirmed {
				if _, err := a.tx.DeleteSecondFactors(a.user.ID, f.ID); err != nil {
					return err
				}
			}
		}
		k, err := totp.Generate(totp.GenerateOpts{Issuer: s.o.Issuer, AccountName: a.user.Email, Period: period, SecretSize: 20, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1, Rand: rand.Reader})
		if err != nil {
			return err
		}
		picture, err := k.Image(240, 240)
		if err != nil {
			return err
		}
		var qr bytes.Buffer
		if err := png.Encode(&qr, picture); err != nil {
			return err
		}
		e = &TOTPEnrolment{ID: uuid.NewString(), Secret: k.Secret(), URL: k.URL(), QR: qr.Bytes()}
		return a.tx.SaveSecondFactor(store.SecondFactor{
			ID: e.ID, UserID: a.user.ID, Kind: store.FactorTOTP, Label: "Authenticator app", Secret: s.box.seal(totpPurpose(a.user.ID, e.ID), []byte(e.Secret)), CreatedAt: a.tx.Now(),
		})
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// ConfirmTOTP enrols the secret when the code proves that the app has it. A waiting session passes with it.
func (s *Service) ConfirmTOTP(ctx context.Context, key session.Key, id, code, label string, by By) (*Result, error) {
	var p passed
	r, err := s.do(ctx, key, by, store.FactorTOTP, func(a *attempt) error {
		p = passed{}
		if err := a.mayEnrol(); err != nil {
			return err
		}
		for _, f := range a.factors {
			if f.ID != id || f.Kind != store.FactorTOTP || f.Confirmed {
				continue
			}
			step, err := s.matchTOTP(f, a.user.ID, code, a.tx.Now())
			if err != nil {
				return err
			}
			if f.Confirmed, f.Counter, f.LastUsedAt = true, step, a.tx.Now(); label != "" {
				f.Label = cut(label)
			}
			if err := a.tx.SaveSecondFactor(f); err != nil {
				return err
			}
			return s.enrol(a, store.FactorTOTP, &p)
		}
		return ErrNotEnrolled
	})
	return p.into(r, err)
}

// enrol finishes an enrolment: the record, recovery codes with the first factor, and a waiting session passes.
func (s *Service) enrol(a *attempt, method store.SecondFactorKind, p *passed) error {
	if err := a.record(audit.TypeSecondFactorEnrolled, audit.OutcomeSuccess, method); err != nil {
		return err
	}
	if !a.enrolled() {
		var err error
		if p.codes, err = s.newRecoveryCodes(a); err != nil {
			return err
		}
	}
	if !a.session.SecondFactorPending {
		return nil
	}
	return a.pass(method, p)
}

func cut(label string) string {
	r := []rune(strings.Join(strings.Fields(label), " "))
	return string(r[:min(len(r), 64)])
}

// matchTOTP finds the time step that a code is for. A step is used once: neither it nor an earlier one is accepted again (RFC 6238 5.2).
func (s *Service) matchTOTP(f store.SecondFactor, userID, code string, now time.Time) (int64, error) {
	secret, err := s.box.open(totpPurpose(userID, f.ID), f.Secret)
	if err != nil {
		return 0, err
	}
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	current := now.Unix() / period
	for step := current - stepsAway; step <= current+stepsAway; step++ {
		want, err := hotp.GenerateCodeCustom(string(secret), uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && step > f.Counter {
			return step, nil
		}
	}
	return 0, ErrWrong
}

// VerifyCode passes the second step with a code of an authenticator app or a recovery code, which is used up.
func (s *Service) VerifyCode(ctx context.Context, key session.Key, code string, by By) (*Result, error) {
	var p passed
	method := store.FactorTOTP
	recovery := normaliseRecovery(code)
	if recovery != "" {
		method = store.FactorRecovery
	}
	r, err := s.do(ctx, key, by, method, func(a *attempt) error {
		p = passed{}
		if !a.enrolled() {
			return ErrNotEnrolled
		}
		if recovery != "" {
			return s.useRecovery(a, recovery, &p)
		}
		for _, f := range a.factors {
			if f.Kind != store.FactorTOTP || !f.Confirmed {
				continue
			}
			step, err := s.matchTOTP(f, a.user.ID, code, a.tx.Now())
			if err == ErrWrong {
				continue
			}
			if err != nil {
				return err
			}
			f.Counter, f.LastUsedAt = step, a.tx.Now()
			if err := a.tx.SaveSecondFactor(f); err != nil {
				return err
			}
			return a.pass(store.FactorTOTP, &p)
		}
		return ErrWrong
	})
	return p.into(r, err)
}

// Recovery codes: ten, of 80 random bits each, written as four groups of four letters and digits.
const recoveryCodes = 10

// recoveryEncoding is RFC 4648 base32; codes are shown in lower case.
var recoveryEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

func (s *Service) newRecoveryCodes(a *attempt) ([]string, error) {
	var old []string
	for _, f := range a.factors {
		if f.Kind == store.FactorRecovery {
			old = append(old, f.ID)
		}
	}
	if len(old) > 0 {
		if _, err := a.tx.DeleteSecondFactors(a.user.ID, old...); err != nil {
			return nil, err
		}
	}
	var codes []string
	for range recoveryCodes {
		raw := make([]byte, 10)
		_, _ = rand.Read(raw) // crypto/rand.Read never fails: it ends the process instead
		text := strings.ToLower(recoveryEncoding.EncodeToString(raw))
		codes = append(codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
		err := a.tx.SaveSecondFactor(store.SecondFactor{
			ID: uuid.NewString(), UserID: a.user.ID, Kind: store.FactorRecovery, Secret: s.box.mac(a.user.ID, text), Confirmed: true, CreatedAt: a.tx.Now(),
		})
		if err != nil {
			return nil, err
		}
	}
	return codes, nil
}

// normaliseRecovery is the code without spaces and hyphens, or "" for what is no recovery code.
func normaliseRecovery(code string) string {
	code = strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(strings.TrimSpace(code)))
	if len(code) != 16 {
		return ""
	}
	return code
}

func (s *Service) useRecovery(a *attempt, code string, p *passed) error {
	for _, f := range a.factors {
		if f.Kind != store.FactorRecovery || !s.box.macEqual(f.Secret, a.user.ID, code) {
			continue
		}
		if _, err := a.tx.DeleteSecondFactors(a.user.ID, f.ID); err != nil {
			return err
		}
		return a.pass(store.FactorRecovery, p)
	}
	return ErrWrong
}

// NewRecoveryCodes replaces the recovery codes of a user who has passed the second step.
func (s *Service) NewRecoveryCodes(ctx context.Context, key session.Key, by By) ([]string, error) {
	var codes []string
	_, err := s.do(ctx, key, by, store.FactorRecovery, func(a *attempt) error {
		if a.session.SecondFactorPending {
			return ErrVerifyFirst
		}
		if !a.enrolled() {
			return ErrNotEnrolled
		}
		var err error
		if codes, err = s.newRecoveryCodes(a); err != nil {
			return err
		}
		return a.record(audit.TypeSecondFactorEnrolled, audit.OutcomeSuccess, store.FactorRecovery)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}
