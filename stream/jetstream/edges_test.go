package jetstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"foreverframe/stream"
	"foreverframe/stream/brokertest"
	"foreverframe/stream/jetstream/natstest"

	"github.com/nats-io/nats.go/jetstream"
)

// one returns a configuration for a server of its own, which has config in its
// file.
func one(t *testing.T, config string) (*natstest.Server, Config) {
	t.Helper()
	server := natstest.Start(t, 1, config).Servers[0]
	return server, Config{URL: server.URL(), Replicas: 1}
}

func entry(n any) stream.Update { return stream.Append("log", stream.Text(fmt.Sprint(n))) }

func publish(t *testing.T, hub *stream.Hub, topic string, n any) uint64 {
	t.Helper()
	id, err := hub.Publish(topic, entry(n))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Edge 1: consumers are bounded, and there are none. Topics that nobody follows
// cost a process nothing.
func TestThousandsOfTopics(t *testing.T) {
	const published, followed = 10_000, 2000
	_, config := one(t, "")
	b := connect(t, config)
	hub := run(t, b, 0)
	each(published, func(n int) { publish(t, hub, fmt.Sprint("t", n), n) })
	if n := len(b.followed(names(published))); n != 0 || b.conn.NumSubscriptions() > 1 { // one takes answers
		t.Errorf("%d topics are followed, with %d subscriptions", n, b.conn.NumSubscriptions())
	}
	other := run(t, connect(t, config), 0)
	each(followed, func(n int) {
		if got, err := brokertest.Read(t, other, 1, 0, fmt.Sprint("t", n)); err != nil || len(got) != 1 || got[0].HTML != fmt.Sprint(n) {
			t.Errorf("topic %d has %v, %v", n, got, err)
		}
	})
	s, err := b.js.Stream(t.Context(), defaultName)
	if err != nil || s.CachedInfo().State.Consumers != 0 {
		t.Errorf("there are consumers: %v", err)
	}
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("t", i))
	}
	return all
}

// each calls f with 0 to n-1, from several goroutines.
func each(n int, f func(int)) {
	var running sync.WaitGroup
	const some = 50
	for first := range some {
		running.Go(func() {
			for i := first; i < n; i += some {
				f(i)
			}
		})
	}
	running.Wait()
}

// Edges 2 and 11: what is lost on the way, because a process cannot keep up or
// for another reason, is read from the stream, also where nothing follows it.
func TestHolesAreFilled(t *testing.T) {
	_, config := one(t, "")
	config.PerTopic = 10_000
	first := run(t, connect(t, config), config.PerTopic)
	var mu sync.Mutex
	var got []stream.Record
	stuck := make(chan struct{})
	follower := connect(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := make(chan struct{}, 1)
	go follower.Follow(ctx, "x", func(n stream.News) {
		mu.Lock()
		got = append(got, n.Records...)
		mu.Unlock()
		if len(n.Records) > 0 {
			<-stuck
		}
		select {
		case begun <- struct{}{}:
		default:
		}
	})
	<-begun
	const events = 5000 // at once: NATS's own client stalls with 4,000 that wait
	each(events, func(n int) { publish(t, first, "x", n) })
	close(stuck)
	for end := time.Now().Add(patience); ; {
		follower.Sync(ctx, []string{"x"}, 1<<63)
		mu.Lock()
		n := len(got)
		mu.Unlock()
		if n >= events {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d events came", n)
		}
	}
	for i, r := range got {
		if i > 0 && r.ID != got[i-1].ID+1 {
			t.Fatalf("%d comes after %d", r.ID, got[i-1].ID)
		}
	}
	if follower.Status().Redelivered == 0 {
		t.Error("nothing was missing, so this tests nothing")
	}
}

// Edge 3: a stream that is made anew is a gap for everybody, and its ids are
// greater than all before.
func TestAStreamMadeAnewIsAGap(t *testing.T) {
	_, config := one(t, "")
	b := connect(t, config)
	hub, other := run(t, b, 0), run(t, connect(t, config), 0)
	var last uint64
	for n := range 50 {
		last = publish(t, hub, "x", n)
	}
	gone := make(chan error, 3)
	for _, h := range []*stream.Hub{hub, other} {
		h.Feed("x", "y")
		go func() { _, err := brokertest.Read(t, h, 1, last, "x"); gone <- err }()
	}
	go func() { _, err := brokertest.Read(t, other, 1, last, "x", "y"); gone <- err }()
	if err := b.js.DeleteStream(t.Context(), defaultName); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-gone; !errors.Is(err, stream.ErrGap) {
			t.Errorf("who follows gets %v", err)
		}
	}
	id := publish(t, other, "x", "new")
	if id <= last {
		t.Errorf("the new id %d is not greater than %d", id, last)
	}
	for _, h := range []*stream.Hub{hub, other, run(t, connect(t, config), 0)} {
		if _, err := brokertest.Read(t, h, 1, last, "x"); !errors.Is(err, stream.ErrGap) {
			t.Errorf("an old place gives %v", err)
		}
		if got, err := brokertest.Read(t, h, 1, 0, "x"); err != nil || len(got) != 1 || got[0].ID != id {
			t.Errorf("there is %v, %v", got, err)
		}
	}
}

// Edges 4 and 10: the oldest is dropped when the stream is full, nobody is kept
// from publishing, and a place before what is left is a gap.
func TestAFullStreamForgets(t *testing.T) {
	_, config := one(t, "")
	config.MaxMessages = 100
	hub := run(t, connect(t, config), 0)
	old := publish(t, hub, "quiet", 1)
	hub.Feed("quiet")
	for n := range 300 {
		publish(t, hub, "busy", n)
	}
	other := run(t, connect(t, config), 0)
	for _, topic := range []string{"quiet", "busy"} {
		if got, err := brokertest.Read(t, other, 1, old, topic); !errors.Is(err, stream.ErrGap) {
			t.Errorf("%s after a forgotten event: %v, %v", topic, got, err)
		}
	}
	id := publish(t, other, "quiet", 2)
	if got, err := brokertest.Read(t, hub, 1, old, "quiet"); err != nil || len(got) != 1 || got[0].ID != id {
		t.Errorf("who was there all the time gets %v, %v", got, err)
	}
	if got, err := brokertest.Read(t, other, 90, 0, "busy"); err != nil || got[len(got)-1].HTML != "299" {
		t.Errorf("what is left: %d events, %v", len(got), err)
	}
}

// Edges 6 and 9: what is not acknowledged while NATS is away is not sent later,
// and what was acknowledged is there after a kill.
func TestNothingIsSentLater(t *testing.T) {
	server, config := one(t, "")
	b := connect(t, config)
	hub := run(t, b, 0)
	for n := range 100 {
		publish(t, hub, "x", n)
	}
	server.Kill()
	for range 3 {
		if _, err := hub.Publish("x", entry("lost")); !errors.Is(err, stream.ErrBroker) {
			t.Fatalf("publishing without NATS: %v", err)
		}
	}
	server.Start()
	for end := time.Now().Add(patience); !b.Status().Connected && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	publish(t, hub, "x", "end")
	got, err := brokertest.Read(t, hub, 101, 0, "x")
	if err != nil || len(got) != 101 || got[99].HTML != "99" || got[100].HTML != "end" {
		t.Errorf("there are %d events, %v", len(got), err)
	}
}

// Edge 7: no name gets as far as NATS that could end the connection.
func TestNamesCannotEndTheConnection(t *testing.T) {
	_, config := one(t, "")
	b := connect(t, config)
	hub := run(t, b, 0)
	for _, name := range []string{strings.Repeat("x", 5000), "feed.*", ">", "a b\r\nPUB x 0\r\n"} {
		if _, err := hub.Publish(name, entry(1)); !errors.Is(err, stream.ErrTopic) {
			t.Errorf("%.20q: %v", name, err)
		}
		if err := hub.Feed(name).Err(); !errors.Is(err, stream.ErrTopic) {
			t.Errorf("%.20q: %v", name, err)
		}
		if err := hub.End(name); !errors.Is(err, stream.ErrTopic) {
			t.Errorf("%.20q: %v", name, err)
		}
		if hub.Has(name) {
			t.Errorf("%.20q is there", name)
		}
	}
	publish(t, hub, "x", 1)
	if n := b.conn.Stats().Reconnects; n != 0 {
		t.Errorf("the connection was lost %d times", n)
	}
	for _, c := range []Config{{Stream: "a.b"}, {Stream: strings.Repeat("x", 101)}, {Subject: "a..b"}, {Subject: "a.>"}, {Subject: "$JS.x"}, {Subject: "a b"}} {
		if err := c.complete().check(); err == nil {
			t.Errorf("%+v can be", c)
		}
	}
}

// Edge 8: what NATS does not take is refused with its reason, and the connection
// stays.
func TestWhatIsTooLargeIsRefused(t *testing.T) {
	_, config := one(t, "max_payload: 65536")
	b := connect(t, config)
	hub := run(t, b, 0)
	publish(t, hub, "x", strings.Repeat("x", 60_000))
	for _, size := range []int{65_000, 66_000, 1 << 20} {
		if _, err := hub.Publish("x", entry(strings.Repeat("x", size))); !errors.Is(err, stream.ErrUpdate) || !strings.Contains(err.Error(), "max_payload") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	publish(t, hub, "x", "end")
	if got, err := brokertest.Read(t, hub, 2, 0, "x"); err != nil || len(got) != 2 || b.conn.Stats().Reconnects != 0 {
		t.Errorf("there are %d events, %v", len(got), err)
	}
}

// A stream that is not as it is to be is an error that says what differs.
func TestADifferingStreamIsAnError(t *testing.T) {
	_, config := one(t, "")
	config.MaxAge = time.Hour
	connect(t, config)
	connect(t, config) // it is the same
	config.MaxAge, config.PerTopic, config.Subject = 2*time.Hour, 7, "other"
	_, err := Connect(t.Context(), config)
	for _, part := range []string{"max age: 1h0m0s, not 2h0m0s", "messages per subject: 1024, not 7", "foreverframe.feed.*", "other.feed.*"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error %v does not say %q", err, part)
		}
	}
	if err != nil && strings.Contains(err.Error(), "replicas") {
		t.Errorf("the error %v says what does not differ", err)
	}
}

// What somebody else publishes to a subject, and is no update, is left out.
func TestForeignMessagesAreLeftOut(t *testing.T) {
	_, config := one(t, "")
	b := connect(t, config)
	hub := run(t, b, 0)
	want := []uint64{publish(t, hub, "x", 1)}
	hub.Feed("x")
	for _, text := range []string{"", "no JSON", "{}", `{"action":"append","target":"a b"}`, `{"action":"done"}`} {
		if _, err := b.js.Publish(t.Context(), b.config.feed("x"), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want, publish(t, hub, "x", 2))
	for _, h := range []*stream.Hub{hub, run(t, connect(t, config), 0)} {
		got, err := brokertest.Read(t, h, 2, 0, "x")
		if err != nil || len(got) != 2 || got[0].ID != want[0] || got[1].ID != want[1] {
			t.Errorf("there is %v, %v", got, err)
		}
	}
}

// A stream that was made by hand, and keeps nothing of it, still says how far a
// silent topic goes.
func TestAnEmptyStreamSaysHowFarItGoes(t *testing.T) {
	_, config := one(t, "")
	b := connect(t, config)
	hub := run(t, b, 0)
	s, err := b.js.Stream(t.Context(), defaultName)
	if err != nil {
		t.Fatal(err)
	}
	place := hub.Feed("x", "y").After
	for n := range 3 {
		if err := s.Purge(t.Context(), jetstream.WithPurgeSubject(b.config.mark())); err != nil {
			t.Fatal(err)
		}
		id := publish(t, hub, "x", n)
		if got, err := brokertest.Read(t, hub, 1, place, "x", "y"); err != nil || got[0].ID != id {
			t.Fatalf("there is %v, %v", got, err)
		}
		place = id
	}
}

// The connection is one over TLS, with certificates on both ends, and a token.
func TestTLSAndAToken(t *testing.T) {
	directory := t.TempDir()
	cert, key := certificate(t, directory)
	_, config := one(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\nauthorization { token: secret }", cert, key, cert))
	for _, bad := range []Config{
		{URL: strings.Replace(config.URL, "//", "//secret@", 1), Cert: cert, Key: key},
		{URL: strings.Replace(config.URL, "//", "//secret@", 1), CA: cert},
		{URL: config.URL, CA: cert, Cert: cert, Key: key},
		{URL: config.URL, CA: filepath.Join(directory, "none")},
		{URL: config.URL, Cert: cert},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := Connect(ctx, bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", bad, err)
		}
		cancel()
	}
	config.URL = strings.Replace(config.URL, "//", "//secret@", 1)
	config.CA, config.Cert, config.Key = cert, cert, key
	hub := run(t, connect(t, config), 0)
	id := publish(t, hub, "x", 1)
	if got, err := brokertest.Read(t, hub, 1, 0, "x"); err != nil || got[0].ID != id {
		t.Errorf("there is %v, %v", got, err)
	}
}

// certificate makes one for this machine that signs itself.
func certificate(t *testing.T, directory string) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A user who may do no more than the deployment's README says can do all.
func TestAUserNeedsLittle(t *testing.T) {
	_, config := one(t, `authorization { users: [ { user: ff, password: secret, permissions: {
		publish: [ "foreverframe.>", "$JS.API.STREAM.INFO.foreverframe", "$JS.API.STREAM.CREATE.foreverframe", "$JS.API.DIRECT.GET.foreverframe" ]
		subscribe: [ "foreverframe.>", "_INBOX.>" ]
	} } ] }`)
	config.URL = strings.Replace(config.URL, "//", "//ff:secret@", 1)
	hub, other := run(t, connect(t, config), 0), run(t, connect(t, config), 0)
	place := other.Feed("x", "y").After
	var want []uint64
	want = append(want, publish(t, hub, "x", 1))
	ids, err := hub.PublishAll("y", entry(2), entry(3))
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, ids...)
	got, err := brokertest.Read(t, other, 3, place, "x", "y")
	if err != nil || len(got) != 3 {
		t.Fatalf("there is %v, %v", got, err)
	}
	for i, e := range got {
		if e.ID != want[i] {
			t.Errorf("event %d is %v", i, e)
		}
	}
	if !other.Has("x") || other.Has("z") {
		t.Error("it does not know what there is")
	}
}

// What is published where the end is not known begins the topic anew, at every
// hub: it is acknowledged, so it is not lost.
func TestATopicBeginsAnewAfterItsEnd(t *testing.T) {
	_, config := one(t, "")
	hub, other := run(t, connect(t, config), 0), run(t, connect(t, config), 0)
	publish(t, hub, "x", 1)
	if err := hub.End("x"); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Publish("x", entry(2)); !errors.Is(err, stream.ErrTopicEnded) {
		t.Errorf("where the end is known: %v", err)
	}
	id := publish(t, other, "x", 3)
	for _, h := range []*stream.Hub{hub, other, run(t, connect(t, config), 0)} {
		got, err := brokertest.Read(t, h, 2, 0, "x")
		if err != nil || len(got) != 2 || got[1].ID != id || h.Feed("x").Ended() {
			t.Errorf("there is %v, %v", got, err)
		}
	}
	publish(t, hub, "x", 4)
}
