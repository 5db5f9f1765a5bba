package xmlenc

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest/modcache"
	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// key is the same in every process of a fuzzing run.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	_, k, err := modcache.FuzzKeys()
	if err != nil {
		panic(err)
	}
	return k
})

var otherKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func policy(cbc bool, keys ...*rsa.PrivateKey) Policy {
	return Policy{Keys: keys, AllowCBC: cbc, MaxEncryptedKeys: 4}
}

func wrapped(t testing.TB, data []byte) *xmldoc.Node {
	t.Helper()
	n, err := xmldoc.Parse([]byte("<e>"+string(data)+"</e>"), xmldoc.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRoundTrip(t *testing.T) {
	for _, block := range []string{AES128GCM, AES192GCM, AES256GCM, AES128CBC, AES192CBC, AES256CBC} {
		for _, plaintext := range []string{"", "x", strings.Repeat("y", 15), strings.Repeat("z", 16), strings.Repeat("long ", 5000)} {
			data, err := Encrypt([]byte(plaintext), []*rsa.PublicKey{&key().PublicKey}, Options{Block: block})
			if err != nil {
				t.Fatal(err)
			}
			for _, keys := range [][]*rsa.PrivateKey{{key()}, {otherKey(), key()}, {key(), otherKey()}} {
				got, err := Decrypt(wrapped(t, data), policy(true, keys...))
				if err != nil || string(got) != plaintext {
					t.Errorf("%s of %d bytes: %v", block, len(plaintext), err)
				}
			}
			if _, err := Decrypt(wrapped(t, data), policy(true, otherKey())); err == nil && !strings.Contains(block, "cbc") {
				t.Errorf("%s opens with another key", block)
			}
		}
	}
}

// TestEveryFailureIsTheSame damages ciphertext and wrapped key in every byte position of the first 40 and last 40.
func TestEveryFailureIsTheSame(t *testing.T) {
	data, err := Encrypt([]byte("plaintext of the assertion"), []*rsa.PublicKey{&key().PublicKey}, Options{Block: AES256GCM})
	if err != nil {
		t.Fatal(err)
	}
	e, err := read(wrapped(t, data), policy(false, key()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.ciphertext {
		bad := append([]byte(nil), e.ciphertext...)
		bad[i] ^= 0x80
		if _, err := e.block.open(make([]byte, 32), bad); !errors.Is(err, ErrDecrypt) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for n := range len(e.ciphertext) {
		if _, err := e.block.open(make([]byte, 32), e.ciphertext[:n]); !errors.Is(err, ErrDecrypt) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	for n := range 64 {
		if _, err := (block{size: 16, cbc: true}).open(make([]byte, 16), make([]byte, n)); err != nil && !errors.Is(err, ErrDecrypt) {
			t.Fatalf("CBC of %d bytes: %v", n, err)
		}
	}
	if _, err := Decrypt(wrapped(t, data), policy(false)); !errors.Is(err, ErrDecrypt) {
		t.Errorf("without keys: %v", err)
	}
}

func TestNeverAlgorithms(t *testing.T) {
	data, err := Encrypt([]byte("x"), []*rsa.PublicKey{&key().PublicKey}, Options{Block: AES256CBC})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ old, new string }{
		{OAEP, Space + "rsa-1_5"}, {AES256CBC, Space + "tripledes-cbc"}, {AES256CBC, Space + "aes256-ctr"}, {OAEP, Space + "kw-aes256"}, {AES256CBC, ""},
	} {
		var algorithm *AlgorithmError
		changed := strings.Replace(string(data), `"`+tc.old+`"`, `"`+tc.new+`"`, 1)
		if _, err := Decrypt(wrapped(t, []byte(changed)), policy(true, key())); !errors.As(err, &algorithm) || algorithm.URI != tc.new {
			t.Errorf("%s: %v", tc.new, err)
		}
	}
	var algorithm *AlgorithmError
	if _, err := Decrypt(wrapped(t, data), policy(false, key())); !errors.As(err, &algorithm) || algorithm.URI != AES256CBC {
		t.Errorf("CBC: %v", err)
	}
}

// FuzzDecrypt runs over whatever XML; crewjam/saml's crashers for its own decrypter are among the seeds.
func FuzzDecrypt(f *testing.F) {
	for _, o := range []Options{{}, {Block: AES128CBC}, {Transport: OAEPMGF1P, Beside: true}, {Label: []byte("l")}} {
		data, err := Encrypt([]byte("<a/>"), []*rsa.PublicKey{&key().PublicKey}, o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("<e>" + string(data) + "</e>")
	}
	for _, c := range []string{"", "AAAA", base64.StdEncoding.EncodeToString(make([]byte, 16)), base64.StdEncoding.EncodeToString(make([]byte, 20))} {
		f.Add(`<e xmlns:x="` + Space + `"><x:EncryptedData><x:EncryptionMethod Algorithm="` + AES128GCM + `"/><x:CipherData><x:CipherValue>` + c +
			`</x:CipherValue></x:CipherData></x:EncryptedData><x:EncryptedKey><x:EncryptionMethod Algorithm="` + OAEP + `"/><x:CipherData><x:CipherValue>` + c +
			`</x:CipherValue></x:CipherData></x:EncryptedKey></e>`)
	}
	for _, folder := range []string{"crashers", "corpus"} {
		files, err := filepath.Glob(filepath.Join(crewjamDir(f), folder, "*"))
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %v", folder, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add("<e>" + string(data) + "</e>")
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		n, err := xmldoc.Parse([]byte(in), xmldoc.DefaultLimits())
		if err != nil {
			return
		}
		_, err = Decrypt(n, policy(true, key()))
		var shape *ShapeError
		var algorithm *AlgorithmError
		if err != nil && !errors.Is(err, ErrDecrypt) && !errors.As(err, &shape) && !errors.As(err, &algorithm) {
			t.Fatalf("untyped error %v", err)
		}
	})
}

// TestShibbolethCiphertexts decrypts what real IdPs sent: testshib with CBC in 2015, and a Shibboleth IdP with GCM in 2021.
func TestShibbolethCiphertexts(t *testing.T) {
	dir := crewjamDir(t)
	for _, tc := range []struct {
		file, key, start string
		cbc              bool
	}{
		{"input.xml", "key.pem", "<saml2:Assertion ", true},
		{"input_gcm.xml", "cert.key", "<saml2:Assertion ", false},
	} {
		data, err := os.ReadFile(filepath.Join(dir, "testdata", tc.file))
		if err != nil {
			t.Fatal(err)
		}
		root, err := xmldoc.Parse(data, xmldoc.DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", tc.file, err)
		}
		el, _ := root.Child("urn:oasis:names:tc:SAML:2.0:assertion", "EncryptedAssertion")
		private, err := modcache.RSAKey(filepath.Join(dir, "testdata", tc.key))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decrypt(el, policy(tc.cbc, private))
		if err != nil || !strings.HasPrefix(string(got), tc.start) {
			t.Errorf("%s: %.80q, %v", tc.file, got, err)
		}
	}
}

func crewjamDir(t testing.TB) string {
	t.Helper()
	dir, err := modcache.Dir("github.com/crewjam/saml")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "xmlenc")
}
