package xmlenc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"strings"
)

// Options choose how Encrypt encrypts. The zero value is AES-256-GCM with RSA-OAEP, SHA-256 and MGF1 with SHA-256, and the
// EncryptedKey inside of EncryptedData.
type Options struct {
	Block string
	// Transport is OAEP or OAEPMGF1P; Digest and Mask are URIs, Label the OAEPparams.
	Transport, Digest, Mask string
	Label                   []byte
	// Beside puts the EncryptedKey next to EncryptedData.
	Beside bool
}

func (o Options) withDefaults() Options {
	if o.Block == "" {
		o.Block = AES256GCM
	}
	if o.Transport == "" {
		o.Transport = OAEP
		if o.Digest == "" && o.Mask == "" {
			o.Digest, o.Mask = "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2009/xmlenc11#mgf1sha256"
		}
	}
	return o
}

// Encrypt returns EncryptedData, with the EncryptedKey for each recipient, ready to be put into EncryptedAssertion, EncryptedID or
// EncryptedAttribute. plaintext is one serialized element that declares its own namespaces.
func Encrypt(plaintext []byte, to []*rsa.PublicKey, o Options) ([]byte, error) {
	o = o.withDefaults()
	b, ok := blockMethod(o.Block)
	if !ok {
		return nil, fmt.Errorf("xmlenc: unknown block encryption %s", o.Block)
	}
	key := make([]byte, b.size)
	rand.Read(key)
	ciphertext, err := b.seal(key, plaintext)
	if err != nil {
		return nil, err
	}
	var keys strings.Builder
	for _, pub := range to {
		wrapped, err := wrap(pub, key, o)
		if err != nil {
			return nil, err
		}
		keys.WriteString(wrapped)
	}
	info := `<ds:KeyInfo xmlns:ds="` + dsSpace + `">` + keys.String() + `</ds:KeyInfo>`
	beside := ""
	if o.Beside {
		info, beside = "", keys.String()
	}
	return []byte(`<xenc:EncryptedData xmlns:xenc="` + Space + `" Type="` + Space + `Element"><xenc:EncryptionMethod Algorithm="` + o.Block + `"/>` +
		info + cipherData(ciphertext) + `</xenc:EncryptedData>` + beside), nil
}

func cipherData(b []byte) string {
	return `<xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(b) + `</xenc:CipherValue></xenc:CipherData>`
}

func wrap(pub *rsa.PublicKey, key []byte, o Options) (string, error) {
	digest, okDigest := oaepDigest(o.Digest)
	mask, okMask := maskFunction(o.Mask)
	if !okDigest || !okMask || (o.Transport != OAEP && o.Transport != OAEPMGF1P) {
		return "", fmt.Errorf("xmlenc: unknown key transport %s, %s, %s", o.Transport, o.Digest, o.Mask)
	}
	wrapped, err := rsa.EncryptOAEPWithOptions(rand.Reader, pub, key, &rsa.OAEPOptions{Hash: digest, MGFHash: mask, Label: o.Label})
	if err != nil {
		return "", fmt.Errorf("xmlenc: wrap the session key: %w", err)
	}
	var method strings.Builder
	method.WriteString(`<xenc:EncryptionMethod Algorithm="` + o.Transport + `">`)
	if o.Label != nil {
		method.WriteString(`<xenc:OAEPparams>` + base64.StdEncoding.EncodeToString(o.Label) + `</xenc:OAEPparams>`)
	}
	if o.Digest != "" {
		method.WriteString(`<ds:DigestMethod xmlns:ds="` + dsSpace + `" Algorithm="` + o.Digest + `"/>`)
	}
	if o.Mask != "" && o.Transport == OAEP {
		method.WriteString(`<xenc11:MGF xmlns:xenc11="` + Space11 + `" Algorithm="` + o.Mask + `"/>`)
	}
	method.WriteString(`</xenc:EncryptionMethod>`)
	return `<xenc:EncryptedKey xmlns:xenc="` + Space + `">` + method.String() + cipherData(wrapped) + `</xenc:EncryptedKey>`, nil
}

func (b block) seal(key, plaintext []byte) ([]byte, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("xmlenc: %w", err)
	}
	if !b.cbc {
		gcm, err := cipher.NewGCMWithRandomNonce(c)
		if err != nil {
			return nil, fmt.Errorf("xmlenc: %w", err)
		}
		return gcm.Seal(nil, nil, plaintext, nil), nil // #nosec G407 -- it draws its nonce itself
	}
	pad := aes.BlockSize - len(plaintext)%aes.BlockSize
	padded := append(append([]byte(nil), plaintext...), make([]byte, pad)...)
	padded[len(padded)-1] = byte(pad)
	out := make([]byte, aes.BlockSize+len(padded))
	rand.Read(out[:aes.BlockSize])
	cipher.NewCBCEncrypter(c, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], padded) // #nosec G407 -- the IV was drawn just before
	return out, nil
}
