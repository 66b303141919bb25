package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"

	"foreverframe/stream"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"
)

// Tokens checks JSON Web Tokens (RFC 7519), whose claim "foreverframe" has the
// topics that their bearer may follow and publish to:
//
//	{"exp": 1795000000, "foreverframe": {"subscribe": ["news", "prices.*"], "publish": ["log"]}}
//
// "news" is that topic, "prices.*" every topic that begins with "prices.", "*"
// every topic. (The claim has the shape of Mercure's claim "mercure" and another
// name, because a token for the one is none for the other.) A token must have an
// expiry, "exp"; "nbf" counts if it is there. It must be signed with the
// algorithm of Key: what its header says is compared with that, and "none" is
// not one.
//
// Set the fields and do not change them afterwards. All methods may be called by
// several goroutines at once.
type Tokens struct {
	// Key is what signatures are checked with: a []byte for HS256, an
	// *rsa.PublicKey for RS256 or an *ecdsa.PublicKey on P-256 for ES256
	// (RFC 7518, section 3.1). ParseKey makes it.
	Key any
	// Audience is what the claim "aud" must contain. Empty means that there
	// must be no such claim, because the token is for somebody else then.
	Audience string
}

// CookieName is the cookie that a browser may have its token in, because an
// EventSource and a frame can send no header. Set it HttpOnly, Secure and
// SameSite=Lax or Strict.
const CookieName = "foreverframe_token"

// Subscribe is a stream.Authorize: it lets those follow topic whose token says
// so. The token is the Bearer of the header Authorization, else the query's
// "access_token" (RFC 6750, sections 2.1 and 2.3), else the cookie CookieName;
// the first that is there counts. The streams that answer req end when the token
// expires.
func (t *Tokens) Subscribe(req *fasthttp.RequestCtx, topic string) error {
	c, err := t.check(req, findToken(req))
	if err != nil {
		return err
	}
	if err := c.grants(req, c.Topics.Subscribe, "subscribe", topic); err != nil {
		return err
	}
	stream.ExpireAt(req, c.ExpiresAt.Time)
	return nil
}

// Publish is a stream.Publisher's Authorize: it lets those publish to topic
// whose token says so, and names them by its "sub". The token is the Bearer of
// the header Authorization and nothing else.
func (t *Tokens) Publish(req *fasthttp.RequestCtx, topic string) (who string, err error) {
	c, err := t.check(req, bearer(req))
	if err != nil {
		return "", err
	}
	return "token " + c.Subject, c.grants(req, c.Topics.Publish, "publish", topic)
}

// findToken returns the token of req, empty if there is none.
func findToken(req *fasthttp.RequestCtx) string {
	if token := bearer(req); token != "" {
		return token
	}
	if token := req.QueryArgs().Peek("access_token"); len(token) > 0 {
		return string(token)
	}
	return string(req.Request.Header.Cookie(CookieName))
}

func bearer(req *fasthttp.RequestCtx) string {
	scheme, token, _ := bytes.Cut(req.Request.Header.Peek(fasthttp.HeaderAuthorization), []byte(" "))
	if !bytes.EqualFold(scheme, []byte("Bearer")) {
		return ""
	}
	return string(bytes.TrimSpace(token))
}

var errNoToken = fmt.Errorf("%w: this needs a token, in the header \"Authorization: Bearer TOKEN\" or, to follow, in the cookie %s or the query's access_token", stream.ErrUnauthorized, CookieName)

// checkedKey is where a request keeps what its token has come to, so that it is
// checked once for any number of topics.
type checkedKey struct {
	tokens *Tokens
	token  string
}

type checked struct {
	claims *claims
	err    error
}

// check returns the claims of token.
func (t *Tokens) check(req *fasthttp.RequestCtx, token string) (*claims, error) {
	if token == "" {
		return nil, errNoToken
	}
	key := checkedKey{t, token}
	if c, ok := req.UserValue(key).(checked); ok {
		return c.claims, c.err
	}
	c, err := t.parse(token)
	if err != nil {
		err = fmt.Errorf("%w: %w", stream.ErrUnauthorized, err)
		challenge(req, "invalid_token")
	}
	req.SetUserValue(key, checked{c, err})
	return c, err
}

// challenge tells what is wrong as RFC 6750, section 3.1, has it.
func challenge(req *fasthttp.RequestCtx, code string) {
	req.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Bearer error="`+code+`"`)
}

func (t *Tokens) parse(token string) (*claims, error) {
	algorithm, err := t.algorithm()
	if err != nil {
		return nil, err
	}
	options := []jwt.ParserOption{jwt.WithValidMethods([]string{algorithm}), jwt.WithExpirationRequired()}
	if t.Audience != "" {
		options = append(options, jwt.WithAudience(t.Audience))
	}
	var c claims
	if _, err := jwt.ParseWithClaims(token, &c, t.key, options...); err != nil {
		return nil, err
	}
	if t.Audience == "" && len(c.Audience) > 0 {
		return nil, errors.New("the token is for an audience: --jwt-audience says which one this is")
	}
	return &c, nil
}

// algorithm returns the only algorithm that the key is for.
func (t *Tokens) algorithm() (string, error) {
	switch t.Key.(type) {
	case []byte:
		return "HS256", nil
	case *rsa.PublicKey:
		return "RS256", nil
	case *ecdsa.PublicKey:
		return "ES256", nil
	}
	return "", fmt.Errorf("the server's key is a %T, which no token is signed with", t.Key)
}

func (t *Tokens) key(token *jwt.Token) (any, error) {
	if _, critical := token.Header["crit"]; critical { // RFC 7515, section 4.1.11
		return nil, errors.New("its header has \"crit\", which nothing here understands")
	}
	return t.Key, nil
}

// claims are what a token says.
type claims struct {
	jwt.RegisteredClaims
	Topics struct {
		Subscribe []string `json:"subscribe"`
		Publish   []string `json:"publish"`
	} `json:"foreverframe"`
}

// Validate refuses a token as a whole if one of its patterns is none.
func (c *claims) Validate() error {
	for _, pattern := range slices.Concat(c.Topics.Subscribe, c.Topics.Publish) {
		if pattern != "*" && stream.CheckTopic(strings.TrimSuffix(pattern, ".*")) != nil {
			return fmt.Errorf("the topic %q: it must be a topic's name, the beginning of one with \".*\" behind it, or \"*\"", pattern)
		}
	}
	return nil
}

// grants returns nil if one of patterns, which the claims have under the name
// action, is for topic.
func (c *claims) grants(req *fasthttp.RequestCtx, patterns []string, action, topic string) error {
	for _, pattern := range patterns {
		if matches(pattern, topic) {
			return nil
		}
	}
	challenge(req, "insufficient_scope")
	return fmt.Errorf("the token does not have the topic %q under \"foreverframe\", %q", topic, action)
}

func matches(pattern, topic string) bool {
	if prefix, wild := strings.CutSuffix(pattern, "*"); wild { // "*" or "prices.*"
		return strings.HasPrefix(topic, prefix)
	}
	return pattern == topic
}
