package meter

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Meter follows a number of streams of one server and measures them. Set the
// fields, call Start once and Stop at the end. Its methods may be called by
// several goroutines at once.
//
// What it follows is a feed, which has no end and is resumed when a connection
// ends; or, if Updates or Again is set, pages.
type Meter struct {
	// Address is the server's, "127.0.0.1:8080".
	Address string
	// TLS is for a server that is reached over TLS. Nil means plain TCP.
	TLS *tls.Config
	// Dial connects in the place of TCP to Address, with a goroutine for each
	// connection. Nil means that the meter does so itself.
	Dial func(ctx context.Context) (net.Conn, error)
	// Gzip says that the answers may be compressed.
	Gzip bool

	// Transport is how updates travel.
	Transport Transport
	// Marker is the text in front of an update's number.
	Marker string
	// Ask returns the request for a stream, with the id of the last event that
	// it has seen, empty at its start, and when it has asked for this page first.
	Ask func(id string, began time.Time) []byte
	// Updates is how many updates a page has. Zero means any number.
	Updates uint64
	// Again says that a page is loaded again when it has ended.
	Again bool
	// Joins says that the first number of a stream may be any.
	Joins bool
	// Arrivals is how many streams begin in a second, at random and independently of
	// how the server does, but the same in every run. Zero means that all begin
	// at once.
	Arrivals float64
	// Loops is how many loops share the connections. Zero means one.
	Loops int
	// Stalled is how many more streams are asked for, and never read.
	Stalled int

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	loops   []*loop
	drivers []driver
	streams int
	joined  atomic.Int64  // streams whose answer has begun
	over    atomic.Int64  // streams that have come to their end
	moved   chan struct{} // has a value when something may have been reached

	reached [window]reached
}

// window is how many updates of a feed may be on their way at once.
const window = 4096

// reached counts the streams that have an update.
type reached struct {
	number  atomic.Uint64
	streams atomic.Int64
}

// A loop is some of the streams and what has been measured of them.
type loop struct {
	meter *Meter

	mu      sync.Mutex // guards the rest, and the streams
	streams []*stream
	tally   *Tally
	content []byte // of the bodies in what is being read
}

// A driver reads the connections of a loop until ctx is done, and then closes
// them.
type driver interface {
	run(ctx context.Context)
	drop() // closes all connections, and connects again
}

// Start follows so many streams until ctx is done or Stop is called.
func (m *Meter) Start(ctx context.Context, streams int) {
	m.ctx, m.stop = context.WithCancel(ctx)
	m.streams = streams
	m.moved = make(chan struct{}, 1)
	dues := m.dues(streams)
	for i := range max(m.Loops, 1) {
		l := &loop{meter: m, tally: newTally()}
		for n := i; n < streams; n += max(m.Loops, 1) {
			l.streams = append(l.streams, newStream(l, dues[n]))
		}
		m.loops = append(m.loops, l)
		d := newDriver(l)
		m.running.Go(func() { d.run(m.ctx) })
		m.drivers = append(m.drivers, d)
	}
	m.stall()
}

// dues returns when the streams begin.
func (m *Meter) dues(streams int) []time.Time {
	dues, due, random := make([]time.Time, streams), time.Now(), rand.New(rand.NewPCG(1, 2))
	for i := range dues {
		if m.Arrivals > 0 {
			due = due.Add(time.Duration(random.ExpFloat64() / m.Arrivals * float64(time.Second)))
		}
		dues[i] = due
	}
	return dues
}

// Joined returns how many streams have had the head of an answer, or have asked
// for one that comes with the next update.
func (m *Meter) Joined() int { return int(m.joined.Load()) }

// Over reports whether all streams have come to their end, which feeds and pages
// that are loaded again do only by failing.
func (m *Meter) Over() bool { return int(m.over.Load()) == m.streams }

// Expect makes the meter count which streams have an update of a feed, if no more
// than 4096 are expected at once.
func (m *Meter) Expect(number uint64) {
	r := &m.reached[number%window]
	r.streams.Store(0)
	r.number.Store(number)
}

// Reached reports whether all streams have an update that was expected.
func (m *Meter) Reached(number uint64) bool {
	r := &m.reached[number%window]
	return r.number.Load() == number && r.streams.Load() >= int64(m.streams)
}

// Moved gets a value after something has been reached, joined or ended.
func (m *Meter) Moved() <-chan struct{} { return m.moved }

func (m *Meter) move() {
	select {
	case m.moved <- struct{}{}:
	default:
	}
}

// Cut returns what has been measured since the last Cut, or since the start.
func (m *Meter) Cut() *Tally {
	sum := newTally()
	for _, l := range m.loops {
		l.mu.Lock()
		tally := l.tally
		l.tally = newTally()
		l.mu.Unlock()
		sum.add(tally)
	}
	return sum
}

// Drop closes all connections. The streams of a feed go on where they were.
func (m *Meter) Drop() {
	for _, d := range m.drivers {
		d.drop()
	}
}

// Stop ends all streams and returns what has been measured since the last Cut.
// last is the number of the newest update of a feed: what of it has not come is
// lost.
func (m *Meter) Stop(last uint64) *Tally {
	m.stop()
	m.running.Wait()
	for _, l := range m.loops {
		for _, s := range l.streams {
			if s.step != over {
				l.tally.Lost += s.count.lost(max(last, s.count.next))
			}
		}
	}
	return m.Cut()
}

// stall opens the streams that are never read.
func (m *Meter) stall() {
	for range m.Stalled {
		conn, err := m.dial(m.ctx)
		if err != nil {
			continue
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetReadBuffer(4 << 10)
		}
		conn.Write(m.Ask("", time.Now()))
		context.AfterFunc(m.ctx, func() { conn.Close() })
	}
}

func (m *Meter) dial(ctx context.Context) (net.Conn, error) {
	if m.Dial != nil {
		return m.Dial(ctx)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", m.Address)
	if err != nil || m.TLS == nil {
		return conn, err
	}
	return tls.Client(conn, m.TLS), nil
}

// since returns how long ago t was, zero if it is not set.
func since(t, now time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return now.Sub(t)
}
