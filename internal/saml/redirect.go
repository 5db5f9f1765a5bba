package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// maxRelayState is what the bindings allow, in bytes (saml-bindings 3.4.3).
const maxRelayState = 80

// redirectURL encodes a message for the Redirect binding (saml-bindings 3.4.4): DEFLATE, base64, URL encoding, and the signature
// over the very bytes of the query that is sent. A nil signer leaves the message unsigned.
func redirectURL(endpoint, field string, message []byte, relayState string, signer *xmldsig.Signer) (string, error) {
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestCompression)
	if err != nil {
		return "", fmt.Errorf("saml: deflate: %w", err)
	}
	if _, err := w.Write(message); err != nil {
		return "", fmt.Errorf("saml: deflate: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("saml: deflate: %w", err)
	}
	query := field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	if signer != nil {
		var signed string
		_, value, err := signer.SignBytes(func(method string) []byte {
			signed = query + "&SigAlg=" + url.QueryEscape(method)
			return []byte(signed)
		})
		if err != nil {
			return "", err
		}
		query = signed + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(value))
	}
	separator := "?"
	if strings.Contains(endpoint, "?") {
		separator = "&"
	}
	return endpoint + separator + query, nil
}

// redirectQuery is a received query of the Redirect binding.
type redirectQuery struct {
	// field is SAMLRequest or SAMLResponse, message its XML.
	field      string
	message    []byte
	relayState string
	// signed are the original bytes that the signature is over; algorithm and signature are empty when the query is not signed.
	signed    string
	algorithm string
	signature []byte
}

var errQuery = errors.New("the query is not a SAML message")

// parseRedirectQuery reads a raw query. Each parameter may be there once and under its plain name: a second SAMLResponse, or one
// whose name is percent-encoded, would let the signature be over another value than the one that is used. maxMessage bounds the
// inflated message in bytes.
func parseRedirectQuery(raw string, maxMessage int) (*redirectQuery, error) {
	if len(raw) > 2*maxMessage {
		return nil, errTooLarge
	}
	values := map[string]string{}
	for _, pair := range strings.Split(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(key)
		if err != nil {
			return nil, errQuery
		}
		switch plain {
		case "SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature":
			if _, twice := values[plain]; twice || plain != key {
				return nil, fmt.Errorf("%w: %s is given twice or is encoded", errQuery, plain)
			}
			values[plain] = value
		case "SAMLEncoding":
			if v, err := url.QueryUnescape(value); err != nil || v != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" {
				return nil, fmt.Errorf("%w: SAMLEncoding is not DEFLATE", errQuery)
			}
		}
	}
	q := &redirectQuery{field: "SAMLRequest"}
	request, isRequest := values["SAMLRequest"]
	response, isResponse := values["SAMLResponse"]
	if isRequest == isResponse {
		return nil, fmt.Errorf("%w: it must have either SAMLRequest or SAMLResponse", errQuery)
	}
	message := request
	if isResponse {
		q.field, message = "SAMLResponse", response
	}
	q.signed = q.field + "=" + message
	if relayState, ok := values["RelayState"]; ok {
		q.signed += "&RelayState=" + relayState
		if q.relayState, _ = url.QueryUnescape(relayState); len(q.relayState) > 4*maxRelayState {
			return nil, fmt.Errorf("%w: RelayState is too long", errQuery)
		}
	}
	var err error
	if q.message, err = inflate(message, maxMessage); err != nil {
		return nil, err
	}
	return q, q.readSignature(values)
}

func (q *redirectQuery) readSignature(values map[string]string) error {
	algorithm, hasAlgorithm := values["SigAlg"]
	signature, hasSignature := values["Signature"]
	if !hasAlgorithm && !hasSignature {
		return nil
	}
	q.signed += "&SigAlg=" + algorithm
	var err error
	if q.algorithm, err = url.QueryUnescape(algorithm); err != nil || q.algorithm == "" {
		return fmt.Errorf("%w: SigAlg is malformed", errQuery)
	}
	encoded, err := url.QueryUnescape(signature)
	if err != nil {
		return fmt.Errorf("%w: Signature is malformed", errQuery)
	}
	if q.signature, err = decodeBase64(encoded, len(encoded)); err != nil || len(q.signature) == 0 {
		return fmt.Errorf("%w: Signature is malformed", errQuery)
	}
	return nil
}

var errTooLarge = errors.New("the message is too large")

// inflate decodes a parameter; it stops as soon as the output passes max bytes.
func inflate(param string, max int) ([]byte, error) {
	encoded, err := url.QueryUnescape(param)
	if err != nil {
		return nil, errQuery
	}
	deflated, err := decodeBase64(encoded, max)
	if err != nil {
		return nil, err
	}
	r := flate.NewReader(bytes.NewReader(deflated))
	out, err := io.ReadAll(io.LimitReader(r, int64(max)+1))
	if len(out) > max {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it is not DEFLATE data", errQuery)
	}
	return out, nil
}

// decodeBase64 accepts the white space that MIME encoders put in. max bounds the result in bytes.
func decodeBase64(s string, max int) ([]byte, error) {
	if len(s) > 2*max+16 {
		return nil, errTooLarge
	}
	if strings.ContainsAny(s, " \t\r\n") {
		s = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(s)
	}
	if base64.StdEncoding.DecodedLen(len(s)) > max+3 {
		return nil, errTooLarge
	}
	out, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errBase64
	}
	if len(out) > max {
		return nil, errTooLarge
	}
	return out, nil
}

var errBase64 = errors.New("the message is not base64")
