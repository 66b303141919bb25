package stream

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// A Publisher lets programs publish to a hub with one HTTP request. Its methods
// may be called by several goroutines at once.
type Publisher struct {
	Hub *Hub
	// Keys are the keys that may publish, in the header "Authorization: Bearer
	// KEY". Without any nobody may.
	Keys []string
}

// updateHelp ends the errors about a body, and says what would be right.
const updateHelp = `send {"action":"append","target":"log","html":"<p>…</p>"}, the same with "text", or {"event":"name","data":"…"}`

// Publish answers a POST: it publishes the body to topic and answers 201 with
// {"id":ID} when the event is in the hub. A body of type text/plain becomes the
// data of one plain message; one of type application/json is an update,
//
//	{"action":"append","target":"log","html":"<p>…</p>"}
//
// with "text" in the place of "html" for content that is not HTML, "name" and
// "value" for the action attr, or an event {"event":"name","data":"…"}, where
// "event" may be left out. Other bodies and topics get a 4xx that says why.
func (p Publisher) Publish(req *fasthttp.RequestCtx, topic string) {
	if !p.allow(req) {
		return
	}
	u, status, err := decode(req)
	if err != nil {
		req.Error("publish: "+err.Error()+"\n", status)
		return
	}
	id, err := p.Hub.Publish(topic, u)
	if err != nil {
		req.Error(err.Error()+"\n", publishStatus(err))
		return
	}
	req.SetStatusCode(fasthttp.StatusCreated)
	req.SetContentType("application/json")
	body := strconv.AppendUint([]byte(`{"id":`), id, 10)
	req.Response.AppendBody(append(body, "}\n"...))
}

// End answers a DELETE: it ends topic and answers 204.
func (p Publisher) End(req *fasthttp.RequestCtx, topic string) {
	switch {
	case !p.allow(req):
	case !p.Hub.Has(topic):
		req.Error(fmt.Sprintf("there is no topic %q\n", topic), fasthttp.StatusNotFound)
	default:
		p.Hub.End(topic)
		req.SetStatusCode(fasthttp.StatusNoContent)
	}
}

func publishStatus(err error) int {
	if errors.Is(err, ErrTopicEnded) {
		return fasthttp.StatusGone
	}
	return fasthttp.StatusBadRequest
}

// allow reports whether req has one of the keys, and answers it if not. It takes
// the same time for every wrong key.
func (p Publisher) allow(req *fasthttp.RequestCtx) bool {
	scheme, token, _ := bytes.Cut(req.Request.Header.Peek(fasthttp.HeaderAuthorization), []byte(" "))
	given := sha256.Sum256(bytes.TrimSpace(token))
	found := 0
	for _, key := range p.Keys {
		want := sha256.Sum256([]byte(key))
		found |= subtle.ConstantTimeCompare(given[:], want[:])
	}
	if !bytes.EqualFold(scheme, []byte("Bearer")) || len(bytes.TrimSpace(token)) == 0 {
		found = 0
	}
	if found == 0 {
		req.Error("publishing needs the header \"Authorization: Bearer KEY\" with a key of this server: see --publish-key, or what it printed at its start\n", fasthttp.StatusUnauthorized)
		req.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	}
	return found == 1
}

// decode returns the update that req's body is, or the status of the answer and
// the reason.
func decode(req *fasthttp.RequestCtx) (u Update, status int, err error) {
	if encoding := req.Request.Header.ContentEncoding(); len(encoding) > 0 {
		return u, fasthttp.StatusUnsupportedMediaType, fmt.Errorf("the content encoding %q: send the body as it is", encoding)
	}
	body := req.Request.Body()
	if !utf8.Valid(body) {
		return u, fasthttp.StatusBadRequest, errors.New("the body is not UTF-8")
	}
	kind, _, _ := mime.ParseMediaType(string(req.Request.Header.ContentType()))
	switch kind {
	case "text/plain":
		return Emit("", string(body)), 0, nil
	case "application/json":
		u, err = decodeJSON(body)
		return u, fasthttp.StatusBadRequest, err
	}
	return u, fasthttp.StatusUnsupportedMediaType, fmt.Errorf("the content type %q: it must be text/plain or application/json", kind)
}

// A message is what a publisher sends as JSON. Fields that are absent are nil.
type message struct {
	Action *string `json:"action"`
	Target *string `json:"target"`
	HTML   *string `json:"html"`
	Text   *string `json:"text"`
	Name   *string `json:"name"`
	Value  *string `json:"value"`
	Event  *string `json:"event"`
	Data   *string `json:"data"`
}

func decodeJSON(body []byte) (Update, error) {
	var m message
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return Update{}, fmt.Errorf("the body is not an update: %w; %s", err, updateHelp)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Update{}, fmt.Errorf("the body goes on after the update; %s", updateHelp)
	}
	u, ok := m.update()
	if !ok {
		return Update{}, fmt.Errorf("the body's fields do not make an update; %s", updateHelp)
	}
	return u, u.Check()
}

// update returns the update that m is, and whether its fields go together.
func (m message) update() (Update, bool) {
	content := set(m.HTML) + set(m.Text)
	attribute := set(m.Name) + set(m.Value)
	if m.Action == nil {
		only := m.Data != nil && set(m.Target)+content+attribute == 0
		return Emit(value(m.Event), value(m.Data)), only
	}
	if m.Event != nil || m.Data != nil {
		return Update{}, false
	}
	u := Update{Action: *m.Action, Target: value(m.Target), HTML: value(m.HTML)}
	if m.Text != nil {
		u.HTML = render(Text(*m.Text))
	}
	switch u.Action {
	case ActionAttr:
		return Attr(u.Target, value(m.Name), value(m.Value)), content == 0 && attribute == 2
	case ActionTitle:
		return Title(value(m.Text)), m.Text != nil && set(m.HTML)+set(m.Target)+attribute == 0
	case ActionReload:
		return u, set(m.Target)+content+attribute == 0
	case ActionRemove:
		return u, content+attribute == 0
	case ActionEmit:
		return u, false // it is {"event":…,"data":…}
	}
	return u, content == 1 && attribute == 0 || !reserved(u.Action) // Check tells of an unknown action
}

func set(s *string) int {
	if s == nil {
		return 0
	}
	return 1
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
