package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	minSecret = 32   // bytes: RFC 7518, section 3.2
	minRSA    = 2048 // bits: RFC 7518, section 3.3
)

// ParseKey returns what text is as the Key of Tokens: a public key in PEM, RSA or
// ECDSA on P-256, or else a secret of at least 32 bytes, without white space at
// its ends. Errors do not say what is in text.
func ParseKey(text []byte) (any, error) {
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		return parsePEM(text)
	}
	if len(text) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes: it needs at least %d, for example those of: openssl rand -hex 32", len(text), minSecret)
	}
	return bytes.Clone(text), nil
}

var errNoPublicKey = errors.New("it must be a public key in PEM, RSA or ECDSA on P-256: \"-----BEGIN PUBLIC KEY-----\"; the private one stays with those who sign")

func parsePEM(text []byte) (key any, err error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil, len(bytes.TrimSpace(rest)) > 0:
		return nil, errNoPublicKey
	case block.Type == "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, errNoPublicKey
	}
	if err != nil {
		return nil, fmt.Errorf("the public key: %w", err)
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return nil, fmt.Errorf("the RSA key has %d bits: it needs at least %d", bits, minRSA)
		}
		return key, nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
	}
	return nil, errNoPublicKey
}
