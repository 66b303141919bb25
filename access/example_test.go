package access_test

import (
	"fmt"
	"time"

	"foreverframe/access"
	"foreverframe/fallback"
	"foreverframe/stream"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"
)

// Feeds that only those follow whose token says so: pages of this site and of one
// other, with the token in a cookie that the site has set.
func ExampleTokens() {
	secret := []byte("change me: thirty-two bytes or more")
	tokens := &access.Tokens{Key: secret}
	origins := access.Origins{"https://app.example"}
	var hub stream.Hub

	feed := func(req *fasthttp.RequestCtx) {
		topic := string(req.QueryArgs().Peek("topic"))
		origins.Allow(req)
		if !stream.Authorize(tokens.Subscribe).Allows(req, topic) {
			return
		}
		fallback.ServeFeed(req, hub.Feed(topic))
	}

	// Whoever knows the secret, an application for example, makes the tokens.
	token, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"exp":          time.Now().Add(time.Hour).Unix(),
		"foreverframe": map[string][]string{"subscribe": {"news", "prices.*"}},
	}).SignedString(secret)

	for _, topic := range []string{"news", "prices.eu", "log"} {
		req := new(fasthttp.RequestCtx)
		req.Init(new(fasthttp.Request), nil, nil)
		req.Request.SetRequestURI("/feed?topic=" + topic)
		req.Request.Header.SetCookie(access.CookieName, token)
		feed(req)
		fmt.Println(topic, req.Response.StatusCode())
	}
	// Output:
	// news 200
	// prices.eu 200
	// log 403
}
