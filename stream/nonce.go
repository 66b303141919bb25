package stream

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/valyala/fasthttp"
)

type nonceKey struct{}

// Nonce returns the nonce of req's content security policy (CSP Level 3,
// section 2.3.1): 128 random bits, made at the first call and the same until
// the request ends. A page's template puts it on its scripts.
func Nonce(req *fasthttp.RequestCtx) string {
	if nonce, ok := req.UserValue(nonceKey{}).(string); ok {
		return nonce
	}
	var random [16]byte
	rand.Read(random[:])
	nonce := base64.RawStdEncoding.EncodeToString(random[:])
	req.SetUserValue(nonceKey{}, nonce)
	return nonce
}
