package bench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"foreverframe/bench/meter"
	"foreverframe/bench/server"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A trial is one run of a case against a server of its own.
type trial struct {
	Case
	*running
	kind     Kind
	duration time.Duration
	stalled  int
	round    Round
	latency  *hdrhistogram.Histogram
	failure  error

	topic string
	meter *meter.Meter
}

// window is how many updates of a feed that is not paced are on their way.
const window = 16

// settle is how long what has been sent may take to arrive, after which it is
// lost.
const settle = 5 * time.Second

// ask makes the meter of the trial, for a path with {n} and so on.
func (t *trial) ask(path string, n uint64, delay time.Duration) {
	transport := meter.TransportOf(t.Transport)
	t.topic = fmt.Sprintf("bench-%d", time.Now().UnixMicro())
	path = strings.NewReplacer(
		"{topic}", t.topic,
		"{n}", strconv.FormatUint(n, 10),
		"{size}", strconv.Itoa(t.Size),
		"{delay}", delay.String(),
	).Replace(path)
	t.meter = &meter.Meter{
		Address:   t.host(),
		Gzip:      t.Gzip,
		Transport: transport,
		Marker:    t.marker(),
		Ask:       asks(t.base, path, transport, t.Gzip),
		Updates:   n,
		Stalled:   t.stalled,
		Loops:     max(1, runtime.NumCPU()/2),
	}
	if t.base.Scheme == "https" {
		t.meter.TLS = &tls.Config{ServerName: t.base.Hostname()}
	}
}

// A span is a part of a trial that figures are taken of.
type span struct {
	from        time.Time
	server, own usage
	known       bool
}

func (t *trial) begin() span {
	used, known := t.usage()
	return span{time.Now(), used, usage{cpu: ownCPU()}, known}
}

// take takes the figures of what has been measured since s began.
func (t *trial) take(s span, tally *meter.Tally) {
	elapsed := time.Since(s.from)
	used, known := t.usage()
	own := ownCPU() - s.own.cpu
	updates := float64(tally.Updates)
	t.round.set("updates per second", updates/elapsed.Seconds())
	t.round.set("pages per second", float64(tally.Pages)/elapsed.Seconds())
	if known && s.known {
		t.round.set("cpu", micro(used.cpu-s.server.cpu)/updates)
		if s.server.writes >= 0 {
			t.round.set("writes", float64(used.writes-s.server.writes)/updates)
		}
	}
	t.round.set("client", micro(own)/updates)
	t.round.set("client busy", 100*own.Seconds()/elapsed.Seconds())
	t.round.set("wire", float64(tally.Bytes)/updates)
	t.round.set("overhead", float64(tally.Bytes)/updates-float64(t.Size))
	t.round.set("chunks", float64(tally.Chunks)/updates)
	t.round.set("requests", float64(tally.Requests))
	t.times(tally)
}

// times takes the times that have been measured.
func (t *trial) times(tally *meter.Tally) {
	t.latency = tally.Latency
	t.quantile("first byte", tally.FirstByte, 50)
	t.quantile("first byte p90", tally.FirstByte, 90)
	t.quantile("first update", tally.FirstUpdate, 50)
	t.quantile("latency p50", tally.Latency, 50)
	t.quantile("latency p90", tally.Latency, 90)
	t.quantile("latency p99", tally.Latency, 99)
	t.quantile("latency max", tally.Latency, 100)
	t.quantile("reconnect p50", tally.Reconnect, 50)
	t.quantile("reconnect max", tally.Reconnect, 100)
}

// quantile takes a quantile in milliseconds, if there is anything of it.
func (t *trial) quantile(name string, h *hdrhistogram.Histogram, quantile float64) {
	if h.TotalCount() > 0 {
		t.round.set(name, float64(h.ValueAtQuantile(quantile))/1000)
	}
}

// count adds what went wrong to the figures of the round.
func (t *trial) count(tally *meter.Tally) {
	t.round["lost"] += float64(tally.Lost)
	t.round["doubled"] += float64(tally.Doubled)
	t.round["reordered"] += float64(tally.Reordered)
	t.round["failed"] += float64(tally.Failed)
	if t.failure == nil {
		t.failure = tally.Failure
	}
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// pages loads finite pages of n updates, with delay between them and each page
// once, or without and again and again.
func (t *trial) pages(ctx context.Context, n uint64, delay time.Duration) error {
	path := t.kind.paths(t.Entrant)[t.Transport]
	if delay > 0 {
		t.warm(ctx, path)
	}
	t.ask(path, n, delay)
	t.meter.Again = delay == 0
	t.meter.Joins = t.kind == Streams
	if delay > 0 {
		return t.once(ctx, t.Clients, n)
	}
	t.meter.Start(ctx, t.Clients)
	t.sleep(ctx, t.duration/4)
	t.count(t.meter.Cut())
	part := t.begin()
	t.sleep(ctx, t.duration)
	tally := t.meter.Cut()
	t.take(part, tally)
	t.count(tally)
	t.count(t.meter.Stop(0))
	if tally.Updates == 0 && t.kind == Streams && t.failure == nil {
		return fmt.Errorf("no update came: is %q the text in front of its number?", t.marker())
	}
	return ctx.Err()
}

// once loads so many pages of n updates, each once.
func (t *trial) once(ctx context.Context, pages int, n uint64) error {
	all := t.begin()
	t.meter.Start(ctx, pages)
	t.wait(ctx, t.duration+settle, t.meter.Over)
	tally := t.meter.Stop(n)
	t.take(all, tally)
	t.count(tally)
	return ctx.Err()
}

// arrivals loads short pages for as many visitors a second as there are clients.
func (t *trial) arrivals(ctx context.Context) error {
	const n, delay = 10, 20 * time.Millisecond
	path := t.kind.paths(t.Entrant)[t.Transport]
	t.warm(ctx, path)
	t.ask(path, n, delay)
	t.meter.Arrivals = float64(t.Clients)
	return t.once(ctx, max(1, int(t.meter.Arrivals*t.duration.Seconds())), n)
}

// warm loads a few pages, so that what a server does once is done.
func (t *trial) warm(ctx context.Context, path string) {
	const pages = 8
	t.ask(path, 10, 0)
	t.meter.Start(ctx, pages)
	t.wait(ctx, settle, t.meter.Over)
	t.count(t.meter.Stop(10))
}

// follow opens the streams of a feed and returns when the server knows of them.
func (t *trial) follow(ctx context.Context) error {
	t.ask(t.Feeds[t.Transport], 0, 0)
	t.meter.Start(ctx, t.Clients)
	joined := func() bool { return t.meter.Joined() == t.Clients || t.meter.Over() }
	if !t.wait(ctx, 30*time.Second, joined) && ctx.Err() == nil {
		tally := t.meter.Stop(0)
		return errors.Join(fmt.Errorf("%d of %d streams were open after 30 s", t.meter.Joined(), t.Clients), tally.Failure)
	}
	return ctx.Err()
}

// broadcast publishes to a feed at rate updates a second, or as fast as they
// arrive everywhere.
func (t *trial) broadcast(ctx context.Context, rate float64) error {
	if err := t.follow(ctx); err != nil {
		return err
	}
	defer t.meter.Stop(0)
	p := newPublisher(t)
	warm := t.publish(ctx, p, rate, t.duration/4)
	t.count(t.meter.Cut())
	part := t.begin()
	err := errors.Join(warm, t.publish(ctx, p, rate, t.duration))
	tally := t.meter.Cut()
	t.take(part, tally)
	t.count(tally)
	if t.stalled > 0 {
		t.weigh(part.server.memory, t.Clients+t.stalled)
	}
	t.count(t.meter.Stop(p.last))
	return err
}

// publish publishes for a time and waits until all has arrived.
func (t *trial) publish(ctx context.Context, p *publisher, rate float64, d time.Duration) error {
	start, first := time.Now(), p.last
	for ctx.Err() == nil {
		due := time.Now()
		if rate > 0 {
			due = start.Add(time.Duration(float64(p.last-first) / rate * float64(time.Second)))
			t.sleep(ctx, time.Until(due))
		} else if p.last > window {
			t.wait(ctx, settle, func() bool { return t.meter.Reached(p.last - window) })
			due = time.Time{}
		}
		if time.Since(start) >= d {
			break
		}
		t.meter.Expect(p.last + 1)
		if err := p.next(due); err != nil {
			return err
		}
	}
	t.wait(ctx, settle, func() bool { return t.meter.Reached(p.last) })
	return ctx.Err()
}

// idle holds streams open, and sends all of them one update at the end.
func (t *trial) idle(ctx context.Context) error {
	before, _ := t.usage()
	goroutines := t.goroutines()
	if err := t.follow(ctx); err != nil {
		return err
	}
	defer t.meter.Stop(0)
	t.sleep(ctx, t.duration/4)
	hold := t.begin()
	t.sleep(ctx, t.duration)
	if after, ok := t.usage(); ok {
		streams := float64(t.Clients)
		t.round.set("idle cpu", micro(after.cpu-hold.server.cpu)/streams/time.Since(hold.from).Seconds())
		t.weigh(before.memory, t.Clients)
	}
	if goroutines > 0 {
		t.round.set("goroutines", (t.goroutines()-goroutines)/float64(t.Clients))
	}
	p := newPublisher(t)
	t.meter.Expect(1)
	err := p.next(time.Now())
	t.wait(ctx, settle, func() bool { return t.meter.Reached(1) })
	tally := t.meter.Stop(p.last)
	t.times(tally)
	t.count(tally)
	return errors.Join(err, ctx.Err())
}

// weigh takes the memory that the server has gained since before, for each of
// so many streams.
func (t *trial) weigh(before uint64, streams int) {
	if after, ok := t.usage(); ok && before > 0 {
		t.round.set("memory", (float64(after.memory)-float64(before))/1024/float64(streams))
	}
}

// storm cuts all connections off while the feed goes on.
func (t *trial) storm(ctx context.Context) error {
	if err := t.follow(ctx); err != nil {
		return err
	}
	defer t.meter.Stop(0)
	const rate = 20
	p := newPublisher(t)
	err := t.publish(ctx, p, rate, t.duration/4)
	t.count(t.meter.Cut())
	all := t.begin()
	cut := time.AfterFunc(t.duration/3, t.meter.Drop)
	defer cut.Stop()
	err = errors.Join(err, t.publish(ctx, p, rate, t.duration))
	tally := t.meter.Cut()
	t.take(all, tally)
	t.count(tally)
	t.count(t.meter.Stop(p.last))
	return err
}

// wait waits until done, or for d, and reports whether it is done.
func (t *trial) wait(ctx context.Context, d time.Duration, done func() bool) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	for !done() {
		select {
		case <-t.meter.Moved():
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (t *trial) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// goroutines returns how many the server has, zero if it does not tell.
func (t *trial) goroutines() float64 {
	if t.Counters == "" {
		return 0
	}
	answer, err := http.Get(t.base.JoinPath(t.Counters).String())
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	var c server.Counters
	json.Unmarshal(text, &c)
	return float64(c.Goroutines)
}
