package secondfactor_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/session/secondfactor"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

const origin = "https://sso.example.com"

type world struct {
	t       *testing.T
	clock   *testclock.FakeClock
	db      *store.DB
	service *secondfactor.Service
}

func each(t *testing.T, run func(w *world)) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		clock := testclock.NewFakeClock(start)
		w := &world{t: t, clock: clock, db: storetest.Open(t, storeURL, store.Options{Clock: clock})}
		w.service = w.newService(key(1))
		w.do(func(tx store.Tx) error {
			return tx.CreateUser(store.User{ID: "alice", Email: "alice@example.com", FirstName: "Alice", CreatedAt: start})
		})
		run(w)
	})
}

func key(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

func (w *world) newService(keys ...[]byte) *secondfactor.Service {
	w.t.Helper()
	s, err := secondfactor.New(w.db, secondfactor.Options{Keys: keys, Issuer: "Acme SSO", RPID: "sso.example.com", Origins: []string{origin}})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) do(fn func(tx store.Tx) error) {
	w.t.Helper()
	if err := w.db.Do(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// waiting opens a session that waits for its second step.
func (w *world) waiting() session.Key {
	w.t.Helper()
	_, k := session.NewToken()
	w.do(func(tx store.Tx) error {
		return tx.CreateSession(store.Session{
			TokenHash: k[:], UserID: "alice", CreatedAt: w.clock.Now(), ExpiresAt: w.clock.Now().Add(12 * time.Hour), SecondFactorPending: true,
			ReturnURL: "https://app.example.com/deep?x=1", NameID: store.NameID{Value: "n1"}, SessionIndex: "_i1",
		})
	})
	return k
}

func (w *world) code(secret string) string {
	w.t.Helper()
	code, err := totp.GenerateCode(secret, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

// enrolled enrols an authenticator app and returns its secret, the recovery codes and the full session.
func (w *world) enrolled() (secret string, codes []string, full session.Key) {
	w.t.Helper()
	k := w.waiting()
	e, err := w.service.BeginTOTP(w.t.Context(), k)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.service.ConfirmTOTP(w.t.Context(), k, e.ID, w.code(e.Secret), "phone", secondfactor.By{})
	if err != nil {
		w.t.Fatal(err)
	}
	full, _ = session.KeyOf(r.Token)
	w.clock.Step(time.Minute)
	return e.Secret, r.RecoveryCodes, full
}

func (w *world) verify(k session.Key, code string) (*secondfactor.Result, error) {
	return w.service.VerifyCode(w.t.Context(), k, code, secondfactor.By{Request: "R1"})
}

func (w *world) want(err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Errorf("got %v, want %v", err, want)
	}
}

func (w *world) types() (out []string) {
	w.t.Helper()
	lines, _, err := w.db.Audit(w.t.Context(), store.AuditQuery{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range lines {
		r, err := audit.ParseLine(l.Line)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, r.Type.String())
	}
	slices.Sort(out)
	return out
}

func TestEnrolmentAtFirstUse(t *testing.T) {
	each(t, func(w *world) {
		k := w.waiting()
		_, err := w.verify(k, "123456")
		w.want(err, secondfactor.ErrNotEnrolled)
		e, err := w.service.BeginTOTP(w.t.Context(), k)
		if err != nil {
			w.t.Fatal(err)
		}
		parsed, err := otp.NewKeyFromURL(e.URL)
		if err != nil || parsed.Secret() != e.Secret || parsed.Issuer() != "Acme SSO" || parsed.AccountName() != "alice@example.com" {
			w.t.Errorf("URL %s, %v", e.URL, err)
		}
		if picture, err := png.Decode(bytes.NewReader(e.QR)); err != nil || picture.Bounds().Dx() != 240 {
			w.t.Errorf("QR: %v", err)
		}
		_, err = w.service.ConfirmTOTP(w.t.Context(), k, e.ID, "000000", "", secondfactor.By{})
		w.want(err, secondfactor.ErrWrong)
		r, err := w.service.ConfirmTOTP(w.t.Context(), k, e.ID, w.code(e.Secret), " my  phone ", secondfactor.By{})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(r.RecoveryCodes) != 10 || r.Token == "" || r.Session.ReturnURL != "https://app.example.com/deep?x=1" || r.Session.NameID.Value != "n1" {
			w.t.Errorf("%+v", r)
		}
		// The session counts now, under a new token; the old one is dead.
		newKey, _ := session.KeyOf(r.Token)
		if s, err := w.db.SessionByHash(w.t.Context(), newKey[:]); err != nil || s.SecondFactorPending || s.SessionIndex != "_i1" {
			w.t.Errorf("%+v, %v", s, err)
		}
		_, err = w.db.SessionByHash(w.t.Context(), k[:])
		w.want(err, store.ErrNotFound)
		factors, left, err := w.service.Factors(w.t.Context(), "alice")
		if err != nil || len(factors) != 1 || factors[0].Label != "my phone" || left != 10 {
			w.t.Errorf("%+v, %d, %v", factors, left, err)
		}
		if got := strings.Join(w.types(), " "); got != "second_factor_enrolled second_factor_failed second_factor_verified" {
			w.t.Errorf("records %s", got)
		}
	})
}

func TestSecretsAreEncryptedAtRest(t *testing.T) {
	each(t, func(w *world) {
		secret, codes, _ := w.enrolled()
		rows, err := w.db.SecondFactors(w.t.Context(), "alice")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range rows {
			for _, s := range append(codes, secret, strings.ReplaceAll(codes[0], "-", "")) {
				if bytes.Contains(f.Secret, []byte(s)) {
					w.t.Error("a secret is kept in the clear")
				}
			}
		}
	})
}

func TestCodesAreUsedOnceAndInTime(t *testing.T) {
	each(t, func(w *world) {
		secret, _, _ := w.enrolled()
		code := w.code(secret)
		if _, err := w.verify(w.waiting(), " "+code[:3]+" "+code[3:]); err != nil {
			w.t.Fatal(err)
		}
		_, err := w.verify(w.waiting(), code)
		w.want(err, secondfactor.ErrWrong)
		for _, c := range []struct {
			away time.Duration
			want error
		}{{-90 * time.Second, secondfactor.ErrWrong}, {-30 * time.Second, nil}, {30 * time.Second, nil}, {90 * time.Second, secondfactor.ErrWrong}} {
			w.clock.Step(10 * time.Minute)
			code, err := totp.GenerateCode(secret, w.clock.Now().Add(c.away))
			if err != nil {
				w.t.Fatal(err)
			}
			_, err = w.verify(w.waiting(), code)
			w.want(err, c.want)
		}
	})
}

func TestOneCodeTwoBrowsersAtOnce(t *testing.T) {
	each(t, func(w *world) {
		secret, _, _ := w.enrolled()
		code := w.code(secret)
		var group sync.WaitGroup
		results := make(chan error, 8)
		for range 8 {
			k := w.waiting()
			group.Go(func() { _, err := w.verify(k, code); results <- err })
		}
		group.Wait()
		close(results)
		passed := 0
		for err := range results {
			if err == nil {
				passed++
			}
		}
		if passed != 1 {
			w.t.Errorf("one code passed %d times", passed)
		}
	})
}

func TestGuessingIsThrottled(t *testing.T) {
	each(t, func(w *world) {
		secret, _, _ := w.enrolled()
		guess := func() error { _, err := w.verify(w.waiting(), "000000"); return err }
		for range 5 {
			w.want(guess(), secondfactor.ErrWrong)
		}
		// Beginning a ceremony does not wash the guesses away.
		_, _ = w.service.BeginVerifyPasskey(w.t.Context(), w.waiting())
		var throttled *secondfactor.ThrottledError
		if err := guess(); !errors.As(err, &throttled) || !throttled.Until.Equal(w.clock.Now().Add(30*time.Second)) {
			w.t.Errorf("got %v", err)
		}
		// Not even the right code is tried.
		if _, err := w.verify(w.waiting(), w.code(secret)); !errors.As(err, &throttled) {
			w.t.Errorf("got %v", err)
		}
		w.clock.Step(30 * time.Second)
		w.want(guess(), secondfactor.ErrWrong)
		if err := guess(); !errors.As(err, &throttled) || !throttled.Until.Equal(w.clock.Now().Add(time.Minute)) {
			w.t.Errorf("got %v", err)
		}
		tried := 0
		for end := w.clock.Now().Add(24 * time.Hour); w.clock.Now().Before(end); w.clock.Step(5 * time.Minute) {
			if errors.Is(guess(), secondfactor.ErrWrong) {
				tried++
			}
		}
		if tried > 110 {
			w.t.Errorf("%d guesses in a day", tried)
		}
		w.clock.Step(15 * time.Minute)
		if _, err := w.verify(w.waiting(), w.code(secret)); err != nil {
			w.t.Error(err)
		}
		w.want(guess(), secondfactor.ErrWrong)
		w.want(guess(), secondfactor.ErrWrong)
	})
}

func TestRecoveryCodes(t *testing.T) {
	each(t, func(w *world) {
		_, codes, full := w.enrolled()
		if _, err := w.verify(w.waiting(), strings.ToUpper(codes[3])); err != nil {
			w.t.Fatal(err)
		}
		_, err := w.verify(w.waiting(), codes[3])
		w.want(err, secondfactor.ErrWrong)
		_, left, _ := w.service.Factors(w.t.Context(), "alice")
		if left != 9 {
			w.t.Errorf("%d codes left", left)
		}
		_, err = w.service.NewRecoveryCodes(w.t.Context(), w.waiting(), secondfactor.By{})
		w.want(err, secondfactor.ErrVerifyFirst)
		fresh, err := w.service.NewRecoveryCodes(w.t.Context(), full, secondfactor.By{})
		if err != nil || len(fresh) != 10 {
			w.t.Fatal(fresh, err)
		}
		_, err = w.verify(w.waiting(), codes[4])
		w.want(err, secondfactor.ErrWrong)
		if _, err := w.verify(w.waiting(), fresh[0]); err != nil {
			w.t.Error(err)
		}
	})
}

// TestHalfSignedInCannotEnrol: somebody with the password alone cannot bring a factor of their own.
func TestHalfSignedInCannotEnrol(t *testing.T) {
	each(t, func(w *world) {
		_, _, full := w.enrolled()
		factors, _, _ := w.service.Factors(w.t.Context(), "alice")
		thief := w.waiting()
		_, err := w.service.BeginTOTP(w.t.Context(), thief)
		w.want(err, secondfactor.ErrVerifyFirst)
		_, err = w.service.BeginPasskey(w.t.Context(), thief)
		w.want(err, secondfactor.ErrVerifyFirst)
		w.want(w.service.Remove(w.t.Context(), thief, factors[0].ID, secondfactor.By{}), secondfactor.ErrVerifyFirst)
		// An enrolment that was begun before the first factor was confirmed does not finish after.
		w.do(func(tx store.Tx) error { _, err := tx.DeleteSecondFactors("alice"); return err })
		early, err := w.service.BeginTOTP(w.t.Context(), thief)
		if err != nil {
			w.t.Fatal(err)
		}
		own, err := w.service.BeginPasskey(w.t.Context(), full)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.service.FinishPasskey(w.t.Context(), full, own.State, newAuthenticator(w.t).create(own.Options), "", secondfactor.By{}); err != nil {
			w.t.Fatal(err)
		}
		_, err = w.service.ConfirmTOTP(w.t.Context(), thief, early.ID, w.code(early.Secret), "", secondfactor.By{})
		w.want(err, secondfactor.ErrVerifyFirst)
	})
}

func TestKeyRotation(t *testing.T) {
	each(t, func(w *world) {
		secret, codes, _ := w.enrolled()
		w.service = w.newService(key(2), key(1))
		if _, err := w.verify(w.waiting(), w.code(secret)); err != nil {
			w.t.Error(err)
		}
		if _, err := w.verify(w.waiting(), codes[0]); err != nil {
			w.t.Error(err)
		}
		w.clock.Step(time.Minute)
		w.service = w.newService(key(2))
		if _, err := w.verify(w.waiting(), w.code(secret)); err == nil || errors.Is(err, secondfactor.ErrWrong) {
			w.t.Errorf("a lost key must be said, not blamed on the user: %v", err)
		}
	})
	for _, bad := range [][][]byte{nil, {[]byte("short")}} {
		if _, err := secondfactor.New(nil, secondfactor.Options{Keys: bad, Issuer: "x", RPID: "x.example", Origins: []string{"https://x.example"}}); err == nil {
			t.Error("bad keys were taken")
		}
	}
}

func TestReset(t *testing.T) {
	each(t, func(w *world) {
		_, _, full := w.enrolled()
		by := secondfactor.By{Actor: audit.Actor{Kind: audit.ActorKubernetes, ID: "bob"}}
		if err := w.service.Reset(w.t.Context(), "alice", by); err != nil {
			w.t.Fatal(err)
		}
		_, err := w.db.SessionByHash(w.t.Context(), full[:])
		w.want(err, store.ErrNotFound)
		if _, err := w.service.BeginTOTP(w.t.Context(), w.waiting()); err != nil {
			w.t.Error(err)
		}
		w.want(w.service.Reset(w.t.Context(), "nobody", by), store.ErrNotFound)
		if !slices.Contains(w.types(), "second_factor_reset") {
			w.t.Errorf("records %v", w.types())
		}
	})
}

func TestEndedSessionPassesNothing(t *testing.T) {
	each(t, func(w *world) {
		secret, _, _ := w.enrolled()
		_, k := session.NewToken()
		_, err := w.verify(k, w.code(secret))
		w.want(err, secondfactor.ErrNoSession)
	})
}

func TestPasskeys(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		device := newAuthenticator(w.t)
		k := w.waiting()
		begun, err := w.service.BeginPasskey(ctx, k)
		if err != nil {
			w.t.Fatal(err)
		}
		response := device.create(begun.Options)
		r, err := w.service.FinishPasskey(ctx, k, begun.State, response, "laptop", secondfactor.By{})
		if err != nil || r.Token == "" || len(r.RecoveryCodes) != 10 {
			w.t.Fatalf("%+v, %v", r, err)
		}
		verify := func(k session.Key, change func(state string, response []byte) (string, []byte)) (*secondfactor.Result, error) {
			w.t.Helper()
			c, err := w.service.BeginVerifyPasskey(ctx, k)
			if err != nil {
				w.t.Fatal(err)
			}
			state, response := c.State, device.get(c.Options)
			if change != nil {
				state, response = change(state, response)
			}
			return w.service.VerifyPasskey(ctx, k, state, response, secondfactor.By{})
		}
		var kept [2]string
		r, err = verify(w.waiting(), func(s string, b []byte) (string, []byte) { kept = [2]string{s, string(b)}; return s, b })
		if err != nil || r.Token == "" {
			w.t.Fatalf("%+v, %v", r, err)
		}
		refuse := func(what string, change func(string, []byte) (string, []byte)) {
			w.t.Helper()
			if _, err := verify(w.waiting(), change); !errors.Is(err, secondfactor.ErrWrong) {
				w.t.Errorf("%s: %v", what, err)
			}
			w.do(func(tx store.Tx) error { return tx.SaveFactorThrottle("alice", store.Throttle{}) })
		}
		refuse("a ceremony used twice", func(string, []byte) (string, []byte) { return kept[0], []byte(kept[1]) })
		refuse("an answer to another challenge", func(s string, _ []byte) (string, []byte) { return s, []byte(kept[1]) })
		refuse("a state of the other kind", func(_ string, b []byte) (string, []byte) { return begun.State, b })
		refuse("a forged state", func(s string, b []byte) (string, []byte) { return s[:len(s)-4] + "AAAA", b })
		refuse("no JSON", func(s string, _ []byte) (string, []byte) { return s, []byte("{") })
		refuse("another device", func(s string, b []byte) (string, []byte) {
			return s, bytes.Replace(b, []byte(`"signature":"`), []byte(`"signature":"AAAA`), 1)
		})
		device.origin = "https://evil.example"
		refuse("another origin", nil)
		device.origin = origin
		device.counter = 0
		refuse("a counter that went back", nil)
		device.counter = 100
		c, err := w.service.BeginVerifyPasskey(ctx, w.waiting())
		if err != nil {
			w.t.Fatal(err)
		}
		late := device.get(c.Options)
		w.clock.Step(6 * time.Minute)
		if _, err := w.service.VerifyPasskey(ctx, w.waiting(), c.State, late, secondfactor.By{}); !errors.Is(err, secondfactor.ErrWrong) {
			w.t.Errorf("an answer after six minutes: %v", err)
		}
		if _, err := verify(w.waiting(), nil); err != nil {
			w.t.Errorf("the device at the end: %v", err)
		}
	})
}

// authenticator is a passkey device in software: ES256, no attestation, user present.
type authenticator struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	id      []byte
	origin  string
	counter uint32
	user    []byte
}

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &authenticator{t: t, key: k, id: id, origin: origin, counter: 5}
}

var b64 = base64.RawURLEncoding

func (a *authenticator) clientData(kind, challenge string) []byte {
	text, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	return text
}

func (a *authenticator) data(flags byte) []byte {
	rp := sha256.Sum256([]byte("sso.example.com"))
	a.counter++
	return binary.BigEndian.AppendUint32(append(rp[:], flags), a.counter)
}

func (a *authenticator) create(options []byte) []byte {
	a.t.Helper()
	var o struct {
		PublicKey struct {
			Challenge string
			User      struct{ ID string }
		}
	}
	if err := json.Unmarshal(options, &o); err != nil {
		a.t.Fatal(err)
	}
	a.user, _ = b64.DecodeString(o.PublicKey.User.ID)
	point, err := a.key.PublicKey.ECDH()
	if err != nil {
		a.t.Fatal(err)
	}
	xy := point.Bytes()[1:]
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: xy[:32], -3: xy[32:]})
	if err != nil {
		a.t.Fatal(err)
	}
	data := a.data(0x45) // user present and verified, attested credential data
	data = append(data, make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), cose...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.answer(map[string]any{"clientDataJSON": b64.EncodeToString(a.clientData("webauthn.create", o.PublicKey.Challenge)), "attestationObject": b64.EncodeToString(object)})
}

func (a *authenticator) get(options []byte) []byte {
	a.t.Helper()
	var o struct{ PublicKey struct{ Challenge string } }
	if err := json.Unmarshal(options, &o); err != nil {
		a.t.Fatal(err)
	}
	client := a.clientData("webauthn.get", o.PublicKey.Challenge)
	data := a.data(0x05)
	sum := sha256.Sum256(client)
	digest := sha256.Sum256(append(slices.Clone(data), sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.answer(map[string]any{
		"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data), "signature": b64.EncodeToString(signature), "userHandle": b64.EncodeToString(a.user),
	})
}

func (a *authenticator) answer(response map[string]any) []byte {
	text, err := json.Marshal(map[string]any{"id": b64.EncodeToString(a.id), "rawId": b64.EncodeToString(a.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}
