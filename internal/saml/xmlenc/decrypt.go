// Package xmlenc decrypts and encrypts the elements that SAML wraps in XML encryption: EncryptedAssertion, EncryptedID and
// EncryptedAttribute (saml-core 6).
//
// Which algorithm is used is public, so refusing one may be said aloud. Everything that depends on a key has one error, one
// path and one duration: a session key that cannot be unwrapped is replaced by a random one, and the failure shows where a wrong
// key would show.
package xmlenc

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	_ "crypto/sha1" // #nosec G505 -- MGF1 and OAEP with SHA-1 are what most IdPs send; OAEP does not rest on collision resistance
	_ "crypto/sha256"
	_ "crypto/sha512"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// ErrDecrypt is every failure that involves a key.
var ErrDecrypt = errors.New("xmlenc: none of our keys decrypts this")

// ShapeError is an element that is not built as XML encryption prescribes.
type ShapeError struct{ What string }

func (e *ShapeError) Error() string { return "xmlenc: " + e.What }

// AlgorithmError is an algorithm that is not allowed here.
type AlgorithmError struct{ What, URI string }

func (e *AlgorithmError) Error() string {
	return fmt.Sprintf("xmlenc: the %s %q is not allowed", e.What, e.URI)
}

// Policy is what may be decrypted.
type Policy struct {
	// Keys are all tried.
	Keys []*rsa.PrivateKey
	// AllowCBC lets AES-CBC pass. It is safe only for ciphertext that a trusted key signed, because CBC is malleable.
	AllowCBC bool
	// MaxEncryptedKeys bounds the RSA operations to that many times the number of Keys.
	MaxEncryptedKeys int
}

// Decrypt returns the plaintext of the element, which is one of EncryptedAssertion, EncryptedID and EncryptedAttribute. EncryptedKey
// elements may be inside of EncryptedData's KeyInfo or beside EncryptedData (saml-core 2.2.4).
func Decrypt(encrypted *xmldoc.Node, p Policy) ([]byte, error) {
	e, err := read(encrypted, p)
	if err != nil {
		return nil, err
	}
	if len(p.Keys) == 0 {
		return nil, ErrDecrypt
	}
	key := make([]byte, e.block.size)
	rand.Read(key)
	for _, k := range e.keys {
		for _, private := range p.Keys {
			// A wrong key costs as much as the right one: every pair is tried, and the random key stays if none fits.
			got, err := private.Decrypt(nil, k.ciphertext, &rsa.OAEPOptions{Hash: k.digest, MGFHash: k.mask, Label: k.label})
			if err == nil && len(got) == e.block.size {
				key = got
			}
		}
	}
	return e.block.open(key, e.ciphertext)
}

type encryptedKey struct {
	digest, mask crypto.Hash
	label        []byte
	ciphertext   []byte
}

type encryptedData struct {
	block      block
	ciphertext []byte
	keys       []encryptedKey
}

func read(encrypted *xmldoc.Node, p Policy) (*encryptedData, error) {
	data, n := encrypted.Child(Space, "EncryptedData")
	if n != 1 {
		return nil, &ShapeError{fmt.Sprintf("%s has %d EncryptedData elements instead of one", encrypted.Local, n)}
	}
	if t := data.Value("Type"); t != "" && t != Space+"Element" {
		return nil, &ShapeError{"EncryptedData is not of type Element"}
	}
	e := &encryptedData{}
	method, n := data.Child(Space, "EncryptionMethod")
	if n != 1 {
		return nil, &ShapeError{"EncryptedData has no EncryptionMethod"}
	}
	uri := method.Value("Algorithm")
	var ok bool
	if e.block, ok = blockMethod(uri); !ok {
		return nil, &AlgorithmError{"encryption method", clip(uri)}
	}
	if e.block.cbc && !p.AllowCBC {
		return nil, &AlgorithmError{"encryption method outside of a signed Response", clip(uri)}
	}
	var err error
	if e.ciphertext, err = cipherValue(data); err != nil {
		return nil, err
	}
	found := keyElements(encrypted, data)
	if len(found) == 0 || len(found) > p.MaxEncryptedKeys {
		return nil, &ShapeError{fmt.Sprintf("there are %d EncryptedKey elements; 1 to %d are read", len(found), p.MaxEncryptedKeys)}
	}
	for _, el := range found {
		k, err := readKey(el)
		if err != nil {
			return nil, err
		}
		e.keys = append(e.keys, k)
	}
	return e, nil
}

// keyElements finds EncryptedKey inside of EncryptedData's KeyInfo and beside EncryptedData. References between them are not
// followed: every key is tried.
func keyElements(encrypted, data *xmldoc.Node) []*xmldoc.Node {
	var out []*xmldoc.Node
	if info, _ := data.Child(dsSpace, "KeyInfo"); info != nil {
		for k := info.First; k != nil; k = k.Next {
			if k.Is(Space, "EncryptedKey") {
				out = append(out, k)
			}
		}
	}
	for k := encrypted.First; k != nil; k = k.Next {
		if k.Is(Space, "EncryptedKey") {
			out = append(out, k)
		}
	}
	return out
}

func readKey(el *xmldoc.Node) (k encryptedKey, err error) {
	method, n := el.Child(Space, "EncryptionMethod")
	if n != 1 {
		return k, &ShapeError{"EncryptedKey has no EncryptionMethod"}
	}
	uri := method.Value("Algorithm")
	if uri != OAEP && uri != OAEPMGF1P {
		return k, &AlgorithmError{"key transport", clip(uri)}
	}
	digest, mask := "", ""
	for c := method.First; c != nil; c = c.Next {
		switch {
		case c.Is(dsSpace, "DigestMethod"):
			digest = c.Value("Algorithm")
		case c.Is(Space11, "MGF") && uri == OAEP:
			mask = c.Value("Algorithm")
		case c.Is(Space, "OAEPparams"):
			if k.label, err = decode(c); err != nil {
				return k, err
			}
		}
	}
	var ok bool
	if k.digest, ok = oaepDigest(digest); !ok {
		return k, &AlgorithmError{"OAEP digest", clip(digest)}
	}
	if k.mask, ok = maskFunction(mask); !ok {
		return k, &AlgorithmError{"OAEP mask generation function", clip(mask)}
	}
	k.ciphertext, err = cipherValue(el)
	return k, err
}

func cipherValue(el *xmldoc.Node) ([]byte, error) {
	data, n := el.Child(Space, "CipherData")
	if n != 1 {
		return nil, &ShapeError{el.Local + " has no CipherData"}
	}
	value, n := data.Child(Space, "CipherValue")
	if n != 1 || value.First != nil {
		return nil, &ShapeError{el.Local + " has no CipherValue"}
	}
	return decode(value)
}

func decode(n *xmldoc.Node) ([]byte, error) {
	s := strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, n.Text)
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, &ShapeError{n.Local + " is not base64"}
	}
	return b, nil
}

// open decrypts with a key of the right size; every failure is ErrDecrypt.
func (b block) open(key, ciphertext []byte) ([]byte, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, ErrDecrypt
	}
	if b.cbc {
		return openCBC(c, ciphertext)
	}
	gcm, err := cipher.NewGCM(c)
	if err != nil || len(ciphertext) < gcm.NonceSize()+gcm.Overhead() {
		return nil, ErrDecrypt
	}
	plain, err := gcm.Open(nil, ciphertext[:gcm.NonceSize()], ciphertext[gcm.NonceSize():], nil)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plain, nil
}

// openCBC removes the padding of xmlenc-core1 5.2.1: the last byte is its length, the others are arbitrary.
func openCBC(c cipher.Block, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < 2*aes.BlockSize || len(ciphertext)%aes.BlockSize != 0 {
		return nil, ErrDecrypt
	}
	plain := make([]byte, len(ciphertext)-aes.BlockSize)
	cipher.NewCBCDecrypter(c, ciphertext[:aes.BlockSize]).CryptBlocks(plain, ciphertext[aes.BlockSize:])
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, ErrDecrypt
	}
	return plain[:len(plain)-pad], nil
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}
