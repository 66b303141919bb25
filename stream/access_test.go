package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

func TestEachTopicIsAskedFor(t *testing.T) {
	var asked []string
	authorize := Authorize(func(_ *fasthttp.RequestCtx, topic string) error {
		asked = append(asked, topic)
		switch topic {
		case "stranger":
			return fmt.Errorf("%w: bring a token", ErrUnauthorized)
		case "closed":
			return errors.New("this topic is not for you")
		}
		return nil
	})
	for _, test := range []struct {
		topics []string
		status int
		says   string
		asked  int
	}{
		{nil, 200, "", 0},
		{[]string{"a", "b"}, 200, "", 2},
		{[]string{"a", "closed", "b"}, 403, "this topic is not for you\n", 2},
		{[]string{"stranger", "a"}, 401, "who asks is not known: bring a token\n", 1},
	} {
		asked = nil
		req := new(fasthttp.RequestCtx)
		if got := authorize.Allows(req, test.topics...); got != (test.status == 200) {
			t.Errorf("%q: %v", test.topics, got)
		}
		if status := req.Response.StatusCode(); status != test.status || string(req.Response.Body()) != test.says || !slices.Equal(asked, test.topics[:test.asked]) {
			t.Errorf("%q: %d %q, asked for %q", test.topics, status, req.Response.Body(), asked)
		}
		if challenge := string(req.Response.Header.Peek("WWW-Authenticate")); (challenge == "Bearer") != (test.status == 401) {
			t.Errorf("%q: the challenge is %q", test.topics, challenge)
		}
	}
	if !Authorize(nil).Allows(new(fasthttp.RequestCtx), "a") {
		t.Error("no Authorize refuses")
	}
}

func TestWhoIsAuthorizedMayPublish(t *testing.T) {
	p := &Publisher{Hub: new(Hub), Keys: []string{"key"}, Rate: 1, Authorize: func(req *fasthttp.RequestCtx, topic string) (string, error) {
		switch {
		case topic == "closed":
			return "", errors.New("not there")
		case string(req.Request.Header.Peek("Authorization")) == "Bearer expired":
			return "", fmt.Errorf("%w: expired", ErrUnauthorized)
		}
		return string(req.Request.Header.Peek("Authorization")), nil
	}}
	for _, test := range []struct {
		topic, authorization string
		status               int
	}{
		{"log", "Bearer one", 201},
		{"log", "Bearer one", 429}, // by its name
		{"log", "Bearer two", 201},
		{"log", "Bearer key", 201},
		{"closed", "Bearer one", 403},
		{"closed", "Bearer key", 201}, // a key is for everything
		{"log", "Bearer expired", 401},
	} {
		if test.topic == "closed" {
			p.rates = rates{}
		}
		if response := post(p, test.topic, "text/plain", "a", "Authorization: "+test.authorization); response.StatusCode() != test.status {
			t.Errorf("%s with %s: %d %q, want %d", test.topic, test.authorization, response.StatusCode(), response.Body(), test.status)
		}
	}
}

// What a browser sends by itself, for a page of any site, opens nothing, even if
// an author's function would let it.
func TestACookieNeverPublishes(t *testing.T) {
	p := &Publisher{Hub: new(Hub), Keys: []string{"key"}, Authorize: func(*fasthttp.RequestCtx, string) (string, error) {
		t.Error("it has been asked")
		return "", nil
	}}
	for _, authorization := range []string{"", "Bearer", "Bearer  ", "Basic a2V5Om1l", "Digest username=key", "Negotiate key"} {
		response := post(p, "log", "text/plain", "a", "Authorization: "+authorization, "Cookie: foreverframe_token=key; Authorization=Bearer key; key=key", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
		if response.StatusCode() != 401 || p.Hub.Has("log") {
			t.Errorf("%q: %d %q", authorization, response.StatusCode(), response.Body())
		}
	}
}

func TestAStreamEndsWhenItsPermissionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		r := Response{Transport: plain{}, Source: func(ctx context.Context, page *Page) error {
			page.Send(Remove("a"))
			<-ctx.Done()
			cause = context.Cause(ctx)
			if err := page.Send(Remove("b")); err != ErrExpired { // a source that is deaf
				t.Errorf("Send: %v", err)
			}
			return ctx.Err()
		}}
		w := new(wire)
		began := time.Now()
		s := &session{Response: r, path: "/page", server: t.Context(), expires: began.Add(time.Minute)}
		s.run(w)
		if took := time.Since(began); took != time.Minute || !errors.Is(cause, ErrExpired) {
			t.Errorf("%v, after %v", cause, took)
		}
		var sent string
		for _, b := range w.take() {
			sent += b
		}
		if strings.Contains(sent, "done") || strings.Contains(sent, "fail") || strings.Contains(sent, "[remove b]") || !strings.Contains(sent, "[remove a]") {
			t.Errorf("the page is told %q", sent)
		}
	})
}

// The end is whole on the wire.
func TestAfterItsExpiryAStreamEndsInOrder(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		var hub Hub
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			if string(req.Path()) == "/feed" {
				ExpireAt(req, time.Now().Add(time.Hour))
				ExpireAt(req, time.Now().Add(50*time.Millisecond))
				ExpireAt(req, time.Now().Add(time.Hour))
			}
			Response{Transport: SSE{}, Feed: hub.Feed("log"), Log: s.log.logger()}.Serve(req)
		})
		for range 2 {
			c := s.connect(t)
			c.ask("GET /feed")
			if response := c.head(); response.StatusCode != http.StatusOK {
				t.Error(response.Status)
			}
			if body := c.body(); strings.Contains(body, "done") {
				t.Errorf("the stream says %q", body)
			}
		}
		hub.End("log")
		c := s.connect(t)
		c.ask("GET /")
		c.head()
		if body := c.body(); !strings.Contains(body, "event: done") {
			t.Errorf("a stream that does not expire says %q", body)
		}
		s.log.want(t)
	})
}
