package trust

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

func privatePEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestNewSPKey(t *testing.T) {
	entityID := "https://sso.example.com/saml/" + strings.Repeat("a-very-long-name-", 6) + "okta"
	key, err := NewSPKey(testNow, entityID, DefaultKeyLifetime, nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(key.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(key.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, ok := private.(*rsa.PrivateKey)
	if !ok || rsaKey.N.BitLen() != 3072 || !rsaKey.PublicKey.Equal(certificate.PublicKey) {
		t.Errorf("private key %T", private)
	}
	if certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) != nil || certificate.SignatureAlgorithm != x509.SHA256WithRSA {
		t.Error("the certificate is not signed by its own key with SHA-256")
	}
	if certificate.IsCA || certificate.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment {
		t.Errorf("usage %v, CA %v", certificate.KeyUsage, certificate.IsCA)
	}
	if !certificate.NotBefore.Before(testNow) || !certificate.NotAfter.Equal(testNow.Add(DefaultKeyLifetime)) {
		t.Errorf("from %v to %v", certificate.NotBefore, certificate.NotAfter)
	}
	if name := certificate.Subject.CommonName; len(name) > 64 || !strings.HasSuffix(entityID, name) || certificate.URIs[0].String() != entityID {
		t.Errorf("named %q and %v", name, certificate.URIs)
	}
	if key.Phase != snapshot.KeyNext || certificate.SerialNumber.Sign() <= 0 {
		t.Errorf("phase %s, serial %v", key.Phase, certificate.SerialNumber)
	}
	other, err := NewSPKey(testNow, entityID, time.Hour, rand.Reader)
	if err != nil || sameKey(key, other) {
		t.Errorf("a second key: %v", err)
	}
	if _, err := NewSPKey(testNow, entityID, 0, nil); err == nil {
		t.Error("a certificate without a lifetime")
	}
}

func TestKeyPairsThatUsersBring(t *testing.T) {
	mine, other := signer(t, "mine"), signer(t, "other")
	key := privatePEM(t, mine.key)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(mine.key.(*rsa.PrivateKey))})
	curve := certify(t, ecKey(t, "mine"), "curve", testNow, testNow.AddDate(1, 0, 0))
	for name, c := range map[string]struct {
		certificate string
		key         []byte
	}{
		"PKCS #8": {mine.pem(), key}, "PKCS #1": {mine.pem(), pkcs1}, "chain": {mine.pem() + other.pem(), key}, "EC": {curve.pem(), privatePEM(t, curve.key)},
	} {
		got, err := ParseKeyPair([]byte(c.certificate), c.key)
		if err != nil || len(got.PrivateKey) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak := certify(t, rsaKey(t, "weak", 1024), "weak", testNow, testNow.AddDate(1, 0, 0))
	for name, c := range map[string]struct {
		certificate string
		key         []byte
		says        string
	}{
		"nothing":      {"", nil, "tls.crt"},
		"no key":       {mine.pem(), nil, "tls.key"},
		"another key":  {mine.pem(), privatePEM(t, other.key), "does not belong"},
		"encrypted":    {mine.pem(), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), "passphrase"},
		"broken":       {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), key, "X.509"},
		"weak":         {weak.pem(), privatePEM(t, weak.key), "1024 bits"},
		"exchanged":    {string(key), []byte(mine.pem()), "tls.crt"},
		"endless text": {strings.Repeat("x", 1<<20), key, "larger"},
	} {
		_, err := ParseKeyPair([]byte(c.certificate), c.key)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestKeySetsSurviveASecret(t *testing.T) {
	set := KeySet{Rotation: "2026"}
	for i, phase := range []snapshot.KeyPhase{snapshot.KeyPrevious, snapshot.KeyCurrent, snapshot.KeyNext} {
		key := planKey(t, testNow.Add(time.Duration(i)*time.Second), time.Hour)
		key.Phase = phase
		state := SPKeyState{SPKey: key, Since: testNow.Add(time.Duration(i) * time.Minute)}
		if i > 0 {
			state.Served = state.Since.Add(time.Second)
		}
		set.Keys = append(set.Keys, state)
	}
	data := set.Data()
	if len(data) != 7 || !strings.HasPrefix(string(data["current.crt"]), "-----BEGIN CERTIFICATE-----") || strings.Contains(string(data["state.json"]), "PRIVATE") {
		t.Errorf("%d keys of data", len(data))
	}
	back, err := KeySetFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	if back.Rotation != "2026" || len(back.Keys) != 3 {
		t.Fatalf("read %d keys, rotation %q", len(back.Keys), back.Rotation)
	}
	for _, k := range set.Keys {
		if got := back.find(k.Phase); !sameKey(got.SPKey, k.SPKey) || !got.Since.Equal(k.Since) || !got.Served.Equal(k.Served) || string(got.PrivateKey) != string(k.PrivateKey) {
			t.Errorf("%s came back differently", k.Phase)
		}
	}
	if empty, err := KeySetFromData(nil); err != nil || len(empty.Keys) != 0 {
		t.Errorf("no data: %v %v", empty, err)
	}
	for name, change := range map[string]string{"next.key": "x", "state.json": "{", "current.crt": string(data["next.crt"] /* the same key */)[:80]} {
		broken := set.Data()
		broken[name] = []byte(change)
		if _, err := KeySetFromData(broken); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("broken %s: %v", name, err)
		}
	}
	missing := set.Data()
	delete(missing, "current.key")
	if _, err := KeySetFromData(missing); err == nil {
		t.Error("a set without its private key is read as if it were whole")
	}
}
