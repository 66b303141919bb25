package stream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

const lines = "application/x-ndjson"

// all returns what is kept of topic.
func all(t *testing.T, hub *Hub, topic string) (all []Event) {
	t.Helper()
	f, err := hub.follow(0, []string{topic})
	if err != nil {
		t.Fatal(err)
	}
	defer f.leave()
	all, err = f.read()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ids returns the ids that response says.
func ids(t *testing.T, response *fasthttp.Response) []uint64 {
	t.Helper()
	var answer struct {
		ID  uint64
		IDs []uint64
	}
	if err := json.Unmarshal(response.Body(), &answer); err != nil || response.StatusCode() != 201 {
		t.Fatalf("%d %q: %v", response.StatusCode(), response.Body(), err)
	}
	if answer.IDs == nil {
		return []uint64{answer.ID}
	}
	return answer.IDs
}

func wantStatus(t *testing.T, response *fasthttp.Response, status int, says string) {
	t.Helper()
	if response.StatusCode() != status || !strings.Contains(string(response.Body()), says) {
		t.Errorf("%d %q, want %d with %q", response.StatusCode(), response.Body(), status, says)
	}
}

func TestABatchIsPublishedTogether(t *testing.T) {
	p := publisher()
	post(p, "other", "text/plain", "a")
	response := post(p, "log", lines, `{"action":"append","target":"log","text":"1"}`+"\r\n\n"+` {"event":"tick","data":"2"}`+"\n{\"data\":\"3\"}")
	got := all(t, p.Hub, "log")
	var published []uint64
	for _, e := range got {
		published = append(published, e.ID)
	}
	if len(got) != 3 || got[0].Update != Append("log", Text("1")) || got[1].Update != Emit("tick", "2") || got[2].Update != Emit("", "3") {
		t.Errorf("%v", got)
	}
	if want := strings.ReplaceAll(fmt.Sprintf("{\"ids\":%v}\n", published), " ", ","); string(response.Body()) != want {
		t.Errorf("the answer is %q, want %q", response.Body(), want)
	}
	if one := ids(t, post(p, "log", lines, `{"data":"4"}`)); len(one) != 1 || one[0] != published[2]+1 {
		t.Errorf("a batch of one has %v", one)
	}
}

func TestABatchIsPublishedWholeOrNotAtAll(t *testing.T) {
	for _, test := range []struct {
		body   string
		status int
		says   string
	}{
		{"", 400, "the body has no update: send one a line"},
		{"\n \r\n", 400, "the body has no update: send one a line"},
		{"{\"data\":\"1\"}\n\n{\"data\":2}", 400, "line 3 is not an update"},
		{"{\"data\":\"1\"}\n{\"data\":\"2\"} {\"data\":\"3\"}", 400, "line 2 goes on after the update"},
		{"{\"data\":\n\"1\"}", 400, "line 1 is not an update"},
		{"{\"data\":\"1\"}\n{}", 400, "line 2 has fields that do not make an update"},
		{"{\"data\":\"1\"}\n{\"action\":\"remove\"}", 400, "line 2 is not an update: the target"},
		{"{\"data\":\"1\"}\n{\"data\":\"" + strings.Repeat("x", 101) + "\"}", 413, "line 2 is an update of 108 bytes: it may have at most 100"},
		{strings.Repeat("{\"data\":\"1\"}\n", 11), 413, ErrBatch.Error()},
	} {
		p := &Publisher{Hub: &Hub{KeepEvents: 10}, Keys: []string{"key"}, MaxUpdate: 100}
		wantStatus(t, post(p, "log", lines, test.body), test.status, test.says)
		if left := all(t, p.Hub, "log"); len(left) > 0 {
			t.Errorf("%q publishes %v", test.body, left)
		}
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	p := publisher()
	p.MaxBody, p.MaxUpdate = 1000, 100
	for size, status := range map[int]int{93: 201, 94: 413, 1000: 413, 1001: 413} {
		if response := post(p, "log", "text/plain", strings.Repeat("x", size)); response.StatusCode() != status {
			t.Errorf("%d bytes: %d %q", size, response.StatusCode(), response.Body())
		}
	}
	wantStatus(t, post(p, "log", "text/plain", strings.Repeat("x", 94)), 413, "the body is an update of 101 bytes: it may have at most 100")
	wantStatus(t, post(p, "log", "text/plain", strings.Repeat("x", 1001)), 413, "the body has 1001 bytes: send at most 1000 bytes")

	p = publisher()
	wantStatus(t, post(p, "log", "text/plain", strings.Repeat("x", 256<<10)), 413, "at most 262144")
	wantStatus(t, post(p, "log", "text/plain", strings.Repeat("x", 1<<20+1)), 413, "at most 1048576 bytes")
}

func TestARequestThatIsSentAgainPublishesNothing(t *testing.T) {
	p := publisher()
	first := post(p, "log", "text/plain", "a", "Idempotency-Key: 1")
	again := post(p, "log", "text/plain", "a", "Idempotency-Key: 1")
	if again.StatusCode() != 201 || !bytes.Equal(first.Body(), again.Body()) {
		t.Errorf("the answers are %q and %d %q", first.Body(), again.StatusCode(), again.Body())
	}
	batch := "{\"data\":\"1\"}\n{\"data\":\"2\"}\n"
	first = post(p, "log", lines, batch, "Idempotency-Key: 2")
	again = post(p, "log", lines, batch, "Idempotency-Key: 2")
	if len(ids(t, first)) != 2 || !slices.Equal(ids(t, first), ids(t, again)) {
		t.Errorf("the answers are %q and %q", first.Body(), again.Body())
	}
	if got := all(t, p.Hub, "log"); len(got) != 3 {
		t.Errorf("the topic has %v", got)
	}
	p.Hub.End("log")
	wantStatus(t, post(p, "log", "text/plain", "a", "Idempotency-Key: 1"), 201, "id")
	wantStatus(t, post(p, "log", "text/plain", "a", "Idempotency-Key: 3"), 410, "has ended")
}

func TestAnIdempotencyKeyIsOneForATopicAndItsUpdates(t *testing.T) {
	p := publisher()
	a := post(p, "a", "text/plain", "1", "Idempotency-Key: k")
	b := post(p, "b", "text/plain", "2", "Idempotency-Key: k")
	if ids(t, a)[0] == ids(t, b)[0] {
		t.Error("two topics share a key")
	}
	wantStatus(t, post(p, "a", "text/plain", "2", "Idempotency-Key: k"), 422, `the Idempotency-Key "k" has been used for other updates: use a new one`)
	wantStatus(t, post(p, "a", lines, "{\"data\":\"1\"}\n{\"data\":\"1\"}", "Idempotency-Key: k"), 422, "use a new one")
	wantStatus(t, post(p, "a", "text/plain", "1"), 201, "id")
	if got := all(t, p.Hub, "a"); len(got) != 2 {
		t.Errorf("the topic has %v", got)
	}
}

func TestARefusedRequestDoesNotUseItsKey(t *testing.T) {
	p := publisher()
	wantStatus(t, post(p, "a b", "text/plain", "1", "Idempotency-Key: k"), 400, "1 to 100 characters")
	wantStatus(t, post(p, "a", "application/json", "{", "Idempotency-Key: k"), 400, "not an update")
	wantStatus(t, post(p, "a", "text/plain", "1", "Idempotency-Key: k"), 201, "id")
}

func TestAnIdempotencyKeyIsVisibleASCII(t *testing.T) {
	const says = "1 to 100 visible ASCII characters"
	p := publisher()
	for _, key := range []string{"!", "~", `"quoted"`, "8f14e45f-ceea-467f-9d3a-0a1b2c3d4e5f", strings.Repeat("k", 100)} {
		wantStatus(t, post(p, "log", "text/plain", "a", "Idempotency-Key: "+key), 201, "id")
	}
	for _, key := range []string{"", "a b", "ä", "a\x7f", strings.Repeat("k", 101)} {
		wantStatus(t, post(p, "log", "text/plain", "a", "Idempotency-Key: "+key), 400, says)
	}
}

func TestReceiptsAreKeptForSoLongAndSoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := publisher()
		send := func(key int) uint64 {
			return ids(t, post(p, "log", "text/plain", "a", fmt.Sprint("Idempotency-Key: ", key)))[0]
		}
		first := send(0)
		time.Sleep(10 * time.Minute)
		if send(0) != first {
			t.Error("a key is forgotten within ten minutes")
		}
		time.Sleep(time.Nanosecond)
		second := send(0)
		if second == first {
			t.Error("a key is kept for more than ten minutes")
		}
		for key := range maxReceipts {
			send(key)
		}
		if send(0) != second {
			t.Error("one of 1,024 keys is forgotten")
		}
		send(maxReceipts)
		if send(0) == second || len(p.Hub.receipts.all) != maxReceipts || len(p.Hub.receipts.order) != maxReceipts {
			t.Errorf("there are %d receipts, in order %d", len(p.Hub.receipts.all), len(p.Hub.receipts.order))
		}
	})
}

func TestRequestsThatAreSentTogetherAreOne(t *testing.T) {
	p := publisher()
	var sending sync.WaitGroup
	answers := make([][]uint64, 50)
	for i := range answers {
		sending.Go(func() { answers[i] = ids(t, post(p, "log", "text/plain", "a", "Idempotency-Key: k")) })
	}
	sending.Wait()
	for _, answer := range answers {
		if !slices.Equal(answer, answers[0]) {
			t.Fatalf("the answers are %v", answers)
		}
	}
	if got := all(t, p.Hub, "log"); len(got) != 1 {
		t.Errorf("the topic has %d events", len(got))
	}
}

func TestAKeyHasItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Publisher{Hub: new(Hub), Keys: []string{"one", "two"}, Rate: 0.5, Burst: 3}
		send := func(key, kind, body string, wait string) {
			t.Helper()
			response := post(p, "log", kind, body, "Authorization: Bearer "+key, "Idempotency-Key: "+body)
			if wait == "" {
				wantStatus(t, response, 201, "id")
				return
			}
			wantStatus(t, response, 429, "this key may publish 0.5 a second")
			if got := string(response.Header.Peek("Retry-After")); got != wait {
				t.Errorf("Retry-After is %q, want %s", got, wait)
			}
		}
		for n := range 3 {
			send("one", "text/plain", fmt.Sprint(n), "")
		}
		send("one", "text/plain", "late", "2")
		send("one", "text/plain", "1", "") // again
		send("two", "text/plain", "other", "")
		time.Sleep(time.Second)
		send("one", "text/plain", "late", "1")
		time.Sleep(time.Second)
		send("one", "text/plain", "late", "")
		send("one", "text/plain", "later", "2")

		five := strings.Repeat("{\"data\":\"\"}\n", 5) // more than a burst
		sendFive := func() *fasthttp.Response {
			return post(p, "log", lines, five, "Authorization: Bearer one")
		}
		if got := string(sendFive().Header.Peek("Retry-After")); got != "6" {
			t.Errorf("a large batch may come in %q seconds, want 6", got)
		}
		time.Sleep(time.Hour)
		wantStatus(t, sendFive(), 201, "ids")
		send("one", "text/plain", "owing", "6") // the two beyond the burst, and itself
	})
}

func TestARateWithoutABurstIsThatOfOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for rate, burst := range map[float64]int{0.1: 1, 1: 1, 5: 5} {
			p := publisher()
			p.Rate = rate
			sent := 0
			for post(p, "log", "text/plain", "a").StatusCode() == 201 {
				sent++
			}
			if sent != burst {
				t.Errorf("%v a second: %d at once, want %d", rate, sent, burst)
			}
		}
	})
}

func TestTooManyTopicsOverHTTP(t *testing.T) {
	p := publisher()
	p.Hub.MaxTopics = 1
	post(p, "a", "text/plain", "1")
	response := post(p, "b", "text/plain", "1")
	wantStatus(t, response, 429, ErrTopics.Error())
	if got := string(response.Header.Peek("Retry-After")); got != "60" {
		t.Errorf("Retry-After is %q", got)
	}
	wantStatus(t, post(p, "a", "text/plain", "1"), 201, "id")
}
