package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"foreverframe/stream"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"
)

// pems returns the public key in PEM as well.
func pems(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

var (
	secret     = []byte("0123456789abcdef0123456789abcdef")
	rsaKey, _  = rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _   = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	otherEC, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
)

// A token is what a test signs; what it leaves out is right.
type token struct {
	method    jwt.SigningMethod // nil means HS256
	key       any               // nil means secret
	header    map[string]any    // on top
	claims    map[string]any    // on top; nil takes one away
	subscribe []string
	publish   []string
}

func (k token) sign(t testing.TB) string {
	t.Helper()
	if k.method == nil {
		k.method = jwt.SigningMethodHS256
	}
	if k.key == nil {
		k.key = secret
	}
	claims := jwt.MapClaims{
		"exp":          time.Now().Add(time.Hour).Unix(),
		"sub":          "ann",
		"foreverframe": map[string]any{"subscribe": k.subscribe, "publish": k.publish},
	}
	for name, value := range k.claims {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	all := jwt.NewWithClaims(k.method, claims)
	for name, value := range k.header {
		all.Header[name] = value
	}
	text, err := all.SignedString(k.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// with returns a request that has text as the Bearer.
func with(text string) *fasthttp.RequestCtx {
	req := new(fasthttp.RequestCtx)
	req.Request.Header.Set("Authorization", "Bearer "+text)
	return req
}

// wantInvalid checks that a token is not taken, for following and publishing.
func wantInvalid(t *testing.T, tokens *Tokens, text, says string) {
	t.Helper()
	req := with(text)
	err := tokens.Subscribe(req, "news")
	if !errors.Is(err, stream.ErrUnauthorized) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), text) {
		t.Errorf("Subscribe: %v, want %q", err, says)
	}
	if challenge := string(req.Response.Header.Peek("WWW-Authenticate")); challenge != `Bearer error="invalid_token"` {
		t.Errorf("the challenge is %q", challenge)
	}
	if who, err := tokens.Publish(with(text), "news"); !errors.Is(err, stream.ErrUnauthorized) || who != "" {
		t.Errorf("Publish: %q, %v", who, err)
	}
}

func wantValid(t *testing.T, tokens *Tokens, text string) {
	t.Helper()
	if err := tokens.Subscribe(with(text), "news"); err != nil {
		t.Error(err)
	}
	if who, err := tokens.Publish(with(text), "news"); err != nil || who != "token ann" {
		t.Errorf("%q, %v", who, err)
	}
}

// all is a token for everything.
var all = token{subscribe: []string{"*"}, publish: []string{"*"}}

func TestEveryKindOfKeyIsForItsAlgorithm(t *testing.T) {
	kinds := []struct {
		method          jwt.SigningMethod
		private, public any
	}{
		{jwt.SigningMethodHS256, secret, secret},
		{jwt.SigningMethodRS256, rsaKey, &rsaKey.PublicKey},
		{jwt.SigningMethodES256, ecKey, &ecKey.PublicKey},
	}
	for i, signs := range kinds {
		k := all
		k.method, k.key = signs.method, signs.private
		text := k.sign(t)
		for j, checks := range kinds {
			if i == j {
				wantValid(t, &Tokens{Key: checks.public}, text)
			} else {
				wantInvalid(t, &Tokens{Key: checks.public}, text, "signing method "+signs.method.Alg()+" is invalid")
			}
		}
	}
	wantInvalid(t, &Tokens{}, all.sign(t), "the server's key is a <nil>")
}

func TestOtherAlgorithmsOfTheSameKeyAreRefused(t *testing.T) {
	for method, key := range map[jwt.SigningMethod]any{
		jwt.SigningMethodHS384: secret,
		jwt.SigningMethodHS512: secret,
		jwt.SigningMethodRS512: rsaKey,
		jwt.SigningMethodPS256: rsaKey,
	} {
		k := all
		k.method, k.key = method, key
		tokens := &Tokens{Key: key}
		if key == any(rsaKey) {
			tokens.Key = &rsaKey.PublicKey
		}
		wantInvalid(t, tokens, k.sign(t), "signing method")
	}
}

func TestTheAlgorithmNoneIsRefused(t *testing.T) {
	k := all
	k.method, k.key = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
	text := k.sign(t)
	claims := strings.Split(text, ".")[1]
	for _, text := range []string{
		text,
		unsigned(`{"alg":"none"}`, claims, ""),
		unsigned(`{"alg":"None","typ":"JWT"}`, claims, ""),
		unsigned(`{"alg":"NONE"}`, claims, "x"),
		unsigned(`{"alg":""}`, claims, ""),
		unsigned(`{"alg":null}`, claims, ""),
		unsigned(`{"alg":["HS256"]}`, claims, ""),
		unsigned(`{}`, claims, ""),
		unsigned(`{"alg":"HS256"}`, claims, ""),
	} {
		for _, key := range []any{secret, &rsaKey.PublicKey, &ecKey.PublicKey} {
			wantInvalid(t, &Tokens{Key: key}, text, "token")
		}
	}
}

func unsigned(header, claims, signature string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + claims + "." + signature
}

// Whoever has a public key, which is no secret, cannot use it as one.
func TestAPublicKeyIsNoSecret(t *testing.T) {
	for _, public := range []crypto.PublicKey{&rsaKey.PublicKey, &ecKey.PublicKey} {
		text := pems(t, public)
		key, err := ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		der, _ := pem.Decode(text)
		for _, confused := range [][]byte{text, []byte(strings.TrimSpace(string(text))), der.Bytes} {
			k := all
			k.key = confused
			wantInvalid(t, &Tokens{Key: key}, k.sign(t), "signing method HS256 is invalid")
		}
	}
}

func TestASignatureMustFit(t *testing.T) {
	good := all.sign(t)
	parts := strings.Split(good, ".")
	other := token{subscribe: []string{"*"}, claims: map[string]any{"sub": "root"}}.sign(t)
	k := all
	k.key = []byte("another secret of thirty-two byt")
	for name, text := range map[string]string{
		"another secret":    k.sign(t),
		"no signature":      parts[0] + "." + parts[1] + ".",
		"other claims":      parts[0] + "." + strings.Split(other, ".")[1] + "." + parts[2],
		"cut":               good[:len(good)-4],
		"two parts":         parts[0] + "." + parts[1],
		"four parts":        good + ".x",
		"no token":          "x",
		"not base64":        "!." + parts[1] + "." + parts[2],
		"hostile":           "<script>\"'\x01.\xff.\xfe",
		"a critical header": token{subscribe: []string{"*"}, header: map[string]any{"crit": []string{"b64"}, "b64": true}}.sign(t),
	} {
		t.Run(name, func(t *testing.T) { wantInvalid(t, &Tokens{Key: secret}, text, "token") })
	}
	k = all
	k.method, k.key = jwt.SigningMethodES256, otherEC
	wantInvalid(t, &Tokens{Key: &ecKey.PublicKey}, k.sign(t), "signature is invalid")
}

func TestATokenHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
		tokens := &Tokens{Key: secret}
		expires := func(claims map[string]any) string {
			k := all
			k.claims = claims
			return k.sign(t)
		}
		wantInvalid(t, tokens, expires(map[string]any{"exp": at(-time.Second)}), "token is expired")
		wantInvalid(t, tokens, expires(map[string]any{"exp": at(0)}), "token is expired")
		wantInvalid(t, tokens, expires(map[string]any{"exp": nil}), "exp claim is required")
		wantInvalid(t, tokens, expires(map[string]any{"exp": "tomorrow"}), "token")
		wantInvalid(t, tokens, expires(map[string]any{"exp": -1e300}), "token")
		wantInvalid(t, tokens, expires(map[string]any{"nbf": at(time.Minute)}), "token is not valid yet")
		later := expires(map[string]any{"nbf": at(time.Minute), "exp": at(2 * time.Minute)})
		time.Sleep(time.Minute)
		wantValid(t, tokens, later)
		time.Sleep(time.Minute)
		wantInvalid(t, tokens, later, "token is expired")
	})
}

// What the token allows ends with it, over any transport.
func TestAStreamEndsWithItsToken(t *testing.T) {
	k := all
	k.claims = map[string]any{"exp": time.Now().Add(2 * time.Second).Unix()}
	text := k.sign(t)
	var hub stream.Hub
	tokens := &Tokens{Key: secret}
	ask := caller(t, func(req *fasthttp.RequestCtx) {
		if stream.Authorize(tokens.Subscribe).Allows(req, "news") {
			stream.ServeSSE(req, hub.Feed("news").Follow)
		}
	})
	answer, body := ask("GET", "/", "Authorization", "Bearer "+text)
	if answer.StatusCode != 200 || !strings.HasPrefix(body, "retry: ") || strings.Contains(body, "done") {
		t.Errorf("%s %q", answer.Status, body)
	}
	answer, body = ask("GET", "/", "Authorization", "Bearer "+text)
	if answer.StatusCode != 401 || !strings.Contains(body, "token is expired") {
		t.Errorf("then %s %q", answer.Status, body)
	}
}

func TestATokenIsForOneAudience(t *testing.T) {
	for _, test := range []struct {
		aud  any
		ours string
		ok   bool
	}{
		{nil, "", true},
		{"us", "us", true},
		{[]string{"them", "us"}, "us", true},
		{nil, "us", false},
		{"them", "us", false},
		{[]string{}, "us", false},
		{"us", "", false},
	} {
		k := all
		k.claims = map[string]any{"aud": test.aud}
		if err := (&Tokens{Key: secret, Audience: test.ours}).Subscribe(with(k.sign(t)), "news"); (err == nil) != test.ok {
			t.Errorf("%v for %q: %v", test.aud, test.ours, err)
		}
	}
}

func TestATokenHasItsTopics(t *testing.T) {
	for _, test := range []struct {
		patterns []string
		topic    string
		ok       bool
	}{
		{[]string{"news"}, "news", true},
		{[]string{"a", "news"}, "news", true},
		{[]string{"*"}, "news", true},
		{[]string{"*"}, "prices.eu", true},
		{[]string{"prices.*"}, "prices.eu", true},
		{[]string{"prices.*"}, "prices.eu.today", true},
		{[]string{"prices.eu.*"}, "prices.eu.today", true},
		{[]string{"news"}, "new", false},
		{[]string{"news"}, "newsroom", false},
		{[]string{"news"}, "News", false},
		{[]string{"news"}, "news.eu", false},
		{[]string{"prices.*"}, "prices", false},
		{[]string{"prices.*"}, "pricesX", false},
		{[]string{"prices.*"}, "other.prices.eu", false},
		{[]string{"prices.eu.*"}, "prices.us.today", false},
		{nil, "news", false},
		{[]string{}, "news", false},
	} {
		tokens := &Tokens{Key: secret}
		subscribes := token{subscribe: test.patterns}.sign(t)
		publishes := token{publish: test.patterns}.sign(t)
		req := with(subscribes)
		if err := tokens.Subscribe(req, test.topic); (err == nil) != test.ok || errors.Is(err, stream.ErrUnauthorized) {
			t.Errorf("%q follows %s: %v", test.patterns, test.topic, err)
		}
		if challenge := string(req.Response.Header.Peek("WWW-Authenticate")); (challenge == `Bearer error="insufficient_scope"`) == test.ok {
			t.Errorf("%q follows %s: the challenge is %q", test.patterns, test.topic, challenge)
		}
		if _, err := tokens.Publish(with(publishes), test.topic); (err == nil) != test.ok || errors.Is(err, stream.ErrUnauthorized) {
			t.Errorf("%q publishes to %s: %v", test.patterns, test.topic, err)
		}
		if tokens.Subscribe(with(publishes), test.topic) == nil {
			t.Errorf("%q: who may publish follows %s", test.patterns, test.topic)
		}
		if _, err := tokens.Publish(with(subscribes), test.topic); err == nil {
			t.Errorf("%q: who may follow publishes to %s", test.patterns, test.topic)
		}
	}
}

func TestATokenWithAPatternThatIsNoneIsRefusedAsAWhole(t *testing.T) {
	for _, pattern := range []string{"", "a*", "*.a", "a.*.b", "**", "a b", "https://example.com/{id}", "a,b"} {
		wantInvalid(t, &Tokens{Key: secret}, token{subscribe: []string{"*", pattern}}.sign(t), "it must be a topic's name")
		wantInvalid(t, &Tokens{Key: secret}, token{publish: []string{"*", pattern}}.sign(t), "it must be a topic's name")
	}
	for _, claim := range []any{"news", []string{"news"}, map[string]any{"subscribe": "news"}} {
		k := token{claims: map[string]any{"foreverframe": claim}}
		wantInvalid(t, &Tokens{Key: secret}, k.sign(t), "token")
	}
	if err := (&Tokens{Key: secret}).Subscribe(with(token{claims: map[string]any{"foreverframe": nil, "mercure": map[string]any{"subscribe": []string{"*"}}}}.sign(t)), "news"); err == nil {
		t.Error("a token for something else is taken")
	}
}

// A browser cannot send a header with an EventSource or a frame.
func TestATokenToFollowMayBeACookieOrInTheQuery(t *testing.T) {
	good, bad := all.sign(t), "bad"
	for _, test := range []struct {
		header, query, cookie string
		ok                    bool
	}{
		{"Bearer " + good, "", "", true},
		{"bearer  " + good, "", "", true},
		{"", good, "", true},
		{"", "", good, true},
		{"", "", "", false},
		{"Basic " + good, "", "", false},
		{good, "", "", false},
		{"Basic eA==", "", good, true}, // a proxy's own
		{"Bearer " + bad, good, good, false},
		{"", bad, good, false},
		{"Bearer " + good, bad, bad, true},
		{"", good, bad, true},
	} {
		req := new(fasthttp.RequestCtx)
		req.Request.Header.Set("Authorization", test.header)
		if test.query != "" {
			req.QueryArgs().Set("access_token", test.query)
		}
		if test.cookie != "" {
			req.Request.Header.SetCookie(CookieName, test.cookie)
		}
		err := (&Tokens{Key: secret}).Subscribe(req, "news")
		if (err == nil) != test.ok || err != nil && !errors.Is(err, stream.ErrUnauthorized) {
			t.Errorf("%.10q %.5q %.5q: %v", test.header, test.query, test.cookie, err)
		}
	}
}

func TestATokenToPublishIsInTheHeaderOnly(t *testing.T) {
	good := all.sign(t)
	req := new(fasthttp.RequestCtx)
	req.QueryArgs().Set("access_token", good)
	req.Request.Header.SetCookie(CookieName, good)
	if _, err := (&Tokens{Key: secret}).Publish(req, "news"); !errors.Is(err, stream.ErrUnauthorized) {
		t.Error(err)
	}
}

// A request for many topics does not cost as many signatures.
func TestATokenIsCheckedOnceForARequest(t *testing.T) {
	tokens := &Tokens{Key: &ecKey.PublicKey}
	k := all
	k.method, k.key = jwt.SigningMethodES256, ecKey
	req := with(k.sign(t))
	if err := tokens.Subscribe(req, "news"); err != nil {
		t.Fatal(err)
	}
	tokens.Key = nil // would be wrong if it were asked again
	if err := tokens.Subscribe(req, "other"); err != nil {
		t.Error(err)
	}
}

func TestParseKeySaysWhatAKeyIs(t *testing.T) {
	small, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	private, _ := x509.MarshalPKCS8PrivateKey(ecKey)
	for _, test := range []struct {
		name, text, says string
	}{
		{"a secret", string(secret) + "\n", ""},
		{"RSA", string(pems(t, &rsaKey.PublicKey)), ""},
		{"RSA, PKCS 1", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)})), ""},
		{"ECDSA", "\n" + string(pems(t, &ecKey.PublicKey)), ""},
		{"a short secret", "secret", "has 6 bytes: it needs at least 32"},
		{"nothing", "", "has 0 bytes"},
		{"a private key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), "the private one stays"},
		{"P-384", string(pems(t, &small.PublicKey)), "ECDSA on P-256"},
		{"two keys", string(pems(t, &ecKey.PublicKey)) + string(pems(t, &rsaKey.PublicKey)), "a public key in PEM"},
		{"broken PEM", "-----BEGIN PUBLIC KEY-----\nx", "a public key in PEM"},
		{"broken DER", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), "the public key: "},
	} {
		key, err := ParseKey([]byte(test.text))
		if test.says == "" && (err != nil || key == nil) || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
	}
}
