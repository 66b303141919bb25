package stream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// A publication is what a publisher has sent.
type publication struct {
	updates []Update
	batch   bool   // it may be any number of updates
	key     string // its Idempotency-Key; empty if there is none
}

// updateHelp ends the errors about a body, and says what would be right.
const updateHelp = `send {"action":"append","target":"log","html":"<p>…</p>"}, the same with "text", or {"event":"name","data":"…"}`

// read returns what req publishes, or a refusal.
func (p *Publisher) read(req *fasthttp.RequestCtx) (m publication, err error) {
	if m.key, err = idempotencyKey(req); err != nil {
		return m, err
	}
	body, err := p.body(req)
	if err != nil {
		return m, err
	}
	kind, _, _ := mime.ParseMediaType(string(req.Request.Header.ContentType()))
	switch kind {
	case "text/plain":
		m.updates = []Update{Emit("", string(body))}
		err = p.checkSize("the body", m.updates[0])
	case "application/json":
		err = p.add(&m, "the body", body)
	case "application/x-ndjson":
		m.batch = true
		err = p.addLines(&m, body)
	default:
		err = refused(fasthttp.StatusUnsupportedMediaType, "the content type %q: it must be text/plain or application/json, or application/x-ndjson for several updates", kind)
	}
	return m, err
}

// maxIdempotencyKey is the number of characters of the longest Idempotency-Key.
const maxIdempotencyKey = 100

// idempotencyKey returns the Idempotency-Key of req, empty if there is none.
func idempotencyKey(req *fasthttp.RequestCtx) (string, error) {
	keys := req.Request.Header.PeekAll("Idempotency-Key")
	if len(keys) == 0 {
		return "", nil
	}
	key := string(keys[0])
	ok := len(keys) == 1 && len(key) >= 1 && len(key) <= maxIdempotencyKey
	for _, c := range []byte(key) {
		ok = ok && c > ' ' && c < 0x7f
	}
	if !ok {
		return "", refused(fasthttp.StatusBadRequest, "the Idempotency-Key %q: it must be one header of 1 to %d visible ASCII characters, for example a UUID", bytes.Join(keys, []byte(", ")), maxIdempotencyKey)
	}
	return key, nil
}

// body returns the body of req if it can be read as text.
func (p *Publisher) body(req *fasthttp.RequestCtx) ([]byte, error) {
	if encoding := req.Request.Header.ContentEncoding(); len(encoding) > 0 {
		return nil, refused(fasthttp.StatusUnsupportedMediaType, "the content encoding %q: send the body as it is", encoding)
	}
	body, most := req.Request.Body(), orZero(p.MaxBody, defaultMaxBody)
	switch {
	case len(body) > most:
		return nil, refused(fasthttp.StatusRequestEntityTooLarge, "the body has %d bytes: send at most %d bytes", len(body), most)
	case !utf8.Valid(body):
		return nil, refused(fasthttp.StatusBadRequest, "the body is not UTF-8")
	}
	return body, nil
}

// addLines adds the updates of body to m, one a line; blank lines are none.
func (p *Publisher) addLines(m *publication, body []byte) error {
	number := 0
	for line := range bytes.Lines(body) {
		number++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := p.add(m, fmt.Sprintf("line %d", number), line); err != nil {
			return err
		}
	}
	if len(m.updates) == 0 {
		return refused(fasthttp.StatusBadRequest, "the body has no update: send one a line; %s", updateHelp)
	}
	return nil
}

// add adds the update that text is to m. Errors call text by its name what.
func (p *Publisher) add(m *publication, what string, text []byte) error {
	u, err := decodeJSON(what, text)
	if err != nil {
		return refused(fasthttp.StatusBadRequest, "%v", err)
	}
	m.updates = append(m.updates, u)
	return p.checkSize(what, u)
}

func (p *Publisher) checkSize(what string, u Update) error {
	n, most := len(u.Target)+len(u.HTML), orZero(p.MaxUpdate, defaultMaxUpdate)
	if n > most {
		return refused(fasthttp.StatusRequestEntityTooLarge, "%s is an update of %d bytes: it may have at most %d", what, n, most)
	}
	return nil
}

func orZero(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
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

// decodeJSON returns the update that text is. Errors call text by its name what.
func decodeJSON(what string, text []byte) (Update, error) {
	var m message
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return Update{}, fmt.Errorf("%s is not an update: %w; %s", what, err, updateHelp)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Update{}, fmt.Errorf("%s goes on after the update; %s", what, updateHelp)
	}
	u, ok := m.update()
	if !ok {
		return Update{}, fmt.Errorf("%s has fields that do not make an update; %s", what, updateHelp)
	}
	if err := u.Check(); err != nil {
		return Update{}, fmt.Errorf("%s is %w", what, err)
	}
	return u, nil
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
