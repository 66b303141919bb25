package stream

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// This file is how bytes leave a page. Whoever finds nobody writing writes, and
// goes on for as long as others add to what is unsent: updates that become
// ready during a write leave together in the next one, without a goroutine or a
// queue.
//
// A producer that is alone and never waits would make a write for each update so,
// and writes are nearly all that an update costs. Who turns out to be faster than
// the connection therefore leaves the write to a goroutine, relay, and makes the
// next update meanwhile: what is there when the write begins leaves together. No
// update waits for the next one, only for a processor; where there is but one,
// until the producer waits or the scheduler takes it away, 10 ms at the most.
// Who waits for each update goes on to write it: to wake a goroutine costs as much
// as a write.
//
// All functions but Page.write are called with the page's lock held.

// flush sends what is unsent, or leaves it to another goroutine.
func (p *Page) flush() error {
	if p.writing {
		return p.follow()
	}
	if p.pace.hurries(time.Since(p.pulse.born)) {
		p.writing = true
		go p.relay()
		return p.follow()
	}
	return p.turns()
}

// A pace is how fast updates are made beside how fast they are written. It takes
// times from when the page began.
type pace struct {
	wrote time.Duration // when the last write ended
	took  time.Duration // how long it took
	row   int           // writes whose next came sooner than they took
}

// enoughInARow is how many writes a producer makes before it is taken to be
// faster than its connection: the first updates of a page, and a few at once of
// one that waits for each, leave without another goroutine.
const enoughInARow = 8

// hurries reports whether who has something to write now, while nobody writes, is
// better off to go on: the last writes have each taken longer than what comes after
// them.
func (c *pace) hurries(now time.Duration) bool {
	if now-c.wrote >= c.took {
		c.row = 0
		return false
	}
	c.row++
	return c.row > enoughInARow
}

// turns writes what is unsent, and for a while what others add.
func (p *Page) turns() error {
	p.writing = true
	for range maxTurns {
		if p.unsent == nil || p.err != nil {
			p.wrote()
			return p.err
		}
		p.writeUnsent()
	}
	go p.relay() // ends when nothing is unsent; close waits for it
	return p.err
}

// flushAll returns when nothing is unsent and nobody writes.
func (p *Page) flushAll() error {
	for p.err == nil && (p.unsent != nil || p.writing) {
		if p.writing {
			p.wait()
		} else {
			p.turns()
		}
	}
	return p.err
}

// maxTurns is the number of writes that a sender makes in a row, all but the
// first for others.
const maxTurns = 4

// relay writes in the place of a sender who has written enough.
func (p *Page) relay() {
	p.mu.Lock()
	defer p.unlock(nil)
	for p.unsent != nil && p.err == nil {
		p.writeUnsent()
	}
	p.wrote()
}

// wrote says that nobody is writing any more.
func (p *Page) wrote() {
	p.writing = false
	p.wake()
}

// writeUnsent makes one write of all that is unsent.
func (p *Page) writeUnsent() {
	ends := p.seal()
	if p.err != nil {
		return
	}
	b, updates := p.unsent, p.waiting
	p.unsent, p.waiting = nil, 0
	p.wake()
	if p.stats.Bytes+len(*b) > unsentBytes {
		p.bound()
	}
	if err := p.write(*b); err != nil {
		p.torn = true
		p.waiting += updates
		p.fail(err)
		return
	}
	p.stats.Flushes++
	p.stats.Bytes += len(*b)
	p.stats.Updates += updates
	p.spareBuffer(b)
	if ends {
		p.fail(ErrEnded)
	}
}

// seal ends the batch in what is unsent, and reports whether the write of it is the
// page's last.
func (p *Page) seal() (last bool) {
	defer func() {
		if r := recover(); r != nil {
			p.contain(r)
		}
	}()
	last = p.ends()
	p.closeBatch()
	return last
}

// ends reports whether the write of what is unsent is the page's last, and adds
// a word to it if the browser is to connect again.
func (p *Page) ends() bool {
	if p.over || p.once && p.waiting > 0 {
		return true
	}
	if p.waiting == 0 || p.sentID == 0 || !p.full() {
		return false
	}
	b := p.batch()
	*b = p.transport.AppendEvent(*b, Event{Update: Update{Action: ActionAgain}})
	return true
}

// full reports whether the page's limit is reached with what is unsent.
func (p *Page) full() bool {
	l := p.limit
	return p.old ||
		l.Flushes > 0 && p.stats.Flushes+1 >= l.Flushes ||
		l.Bytes > 0 && p.stats.Bytes+len(*p.unsent) >= l.Bytes
}

// conclude ends a page of one batch, an empty one if nothing has been sent.
func (p *Page) conclude() {
	p.mu.Lock()
	defer p.unlock(nil)
	if p.err == nil {
		p.over = true
		p.batch()
		p.flush()
	}
}

// follow leaves what is unsent to the goroutine that is writing, and waits for
// it only if there is more than the policy wants to keep.
func (p *Page) follow() error {
	for p.writing && p.err == nil && p.unsent != nil && len(*p.unsent) >= p.policy.bytes() {
		p.wait()
	}
	return p.err
}

// wait waits until a write begins or ends.
func (p *Page) wait() {
	p.waiters++
	p.idle.Wait()
	p.waiters--
}

func (p *Page) wake() {
	if p.waiters > 0 {
		p.idle.Broadcast()
	}
}

// spareBuffer keeps b for what comes next, until the page falls silent.
func (p *Page) spareBuffer(b *buffer) {
	if p.spare != nil || cap(*b) > maxPooled {
		releaseBuffer(b)
		return
	}
	*b = (*b)[:0]
	p.spare = b
}

// flushWithin flushes now if what is unsent is large, else within d of the first
// of it; zero means that it waits for more.
func (p *Page) flushWithin(d time.Duration) error {
	switch {
	case p.unsent == nil:
	case len(*p.unsent) >= p.policy.bytes():
		return p.flush()
	case d > 0 && !p.armed:
		p.arm(d)
	}
	return p.err
}

func (p *Page) arm(d time.Duration) {
	p.armed = true
	if p.due == nil {
		p.due = time.AfterFunc(d, p.late)
		return
	}
	p.due.Reset(d)
}

// late flushes what is unsent. The timer that calls it runs on when what it was
// set for has left, because to stop it and set it again costs a third of a
// flush; so now and then something leaves earlier than it has to.
func (p *Page) late() {
	p.mu.Lock()
	defer p.unlock(nil)
	p.armed = false
	p.flush()
}

func (p *Page) disarm() {
	if p.armed {
		p.due.Stop()
		p.armed = false
	}
}

// write writes b without the page's lock. It takes the lock again even if the
// connection panics, so that the callers' deferred unlocks hold.
func (p *Page) write(b []byte) (err error) {
	p.pulse.writes++
	p.leaving = len(b)
	timed := p.timed
	p.timed = false
	p.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			countPanic(inConnection)
			err = fmt.Errorf("write: panic: %v", r)
		}
		p.mu.Lock()
		p.leaving = 0
	}()
	began := time.Since(p.pulse.born)
	if timed {
		err = timedWrite(p.out, b)
	} else {
		_, err = p.out.Write(b)
	}
	p.pace.wrote = time.Since(p.pulse.born) // by the one who writes
	p.pace.took = p.pace.wrote - began
	return err
}

// fail ends the page because a write has failed, the browser has gone or its
// source has ended. The first reason stands.
func (p *Page) fail(err error) {
	if p.err != nil {
		return
	}
	switch {
	case p.pulse.cut, errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrSlow
	case err != ErrEnded && err != ErrExpired && !errors.As(err, new(*PanicError)):
		err = ErrClientGone
	}
	if err == ErrSlow || err == ErrClientGone {
		dropped.Add(p.waiting)
	}
	p.err = err
	p.unsent = nil
	p.wake()
	p.cancel(err)
}

// gone ends the page because its browser has gone, and a write to it.
func (p *Page) gone() {
	p.mu.Lock()
	defer p.unlock(nil)
	p.fail(ErrClientGone)
	if p.writing {
		p.cut()
	}
}

// expire ends the page after the write that is under way.
func (p *Page) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail(ErrExpired)
}

// cut ends the write that is under way.
func (p *Page) cut() {
	if p.conn != nil {
		p.conn.SetWriteDeadline(time.Unix(1, 0))
	}
}

// close sends what is unsent and ends the page. When it returns, nobody uses
// the connection any more, and Send returns an error.
func (p *Page) close() {
	p.mu.Lock()
	defer p.unlock(nil)
	p.flushAll()
	for p.writing { // by who found the page failed
		p.wait()
	}
	if p.spare != nil {
		releaseBuffer(p.spare)
		p.spare = nil
	}
	p.fail(ErrEnded)
	p.disarm()
	p.pulse.stop()
	p.count()
}

// A pulse looks at a page from time to time. It cuts a write that takes too
// long and breaks a silence that lasts too long, and so spares every write the
// cost of a clock and a deadline of its own.
type pulse struct {
	timer     *time.Timer
	every     time.Duration
	born      time.Time
	deadline  int  // ticks that a write may take
	heartbeat int  // ticks of silence before a heartbeat; 0 means none
	writes    uint // started so far
	seen      uint // writes at the last tick
	ticks     int  // since writes changed
	cut       bool // the deadline has been missed
}

// start starts the pulse of p, whose writes may take up to deadline and whose
// silence may last up to heartbeat; zero or less means no heartbeats.
func (p *Page) start(deadline, heartbeat time.Duration) {
	u := &p.pulse
	u.born = time.Now()
	u.every, u.deadline, u.heartbeat = ticksOf(deadline, heartbeat)
	p.mu.Lock()
	defer p.unlock(nil)
	u.timer = time.AfterFunc(u.every, p.tick)
}

// ticksOf returns how long a tick is, and how many of them a write may take and a
// silence may last; zero means for ever.
func ticksOf(deadline, heartbeat time.Duration) (every time.Duration, write, silence int) {
	every = deadline
	if heartbeat > 0 {
		every = min(every, heartbeat)
	}
	every = max(every/2, time.Millisecond)
	return every, int(deadline / every), int(max(heartbeat, 0) / every)
}

func (u *pulse) stop() {
	if u.timer != nil {
		u.timer.Stop()
	}
}

func (p *Page) tick() {
	p.mu.Lock()
	defer p.unlock(nil)
	u := &p.pulse
	if p.err != nil && !p.writing {
		return
	}
	p.count()
	p.timed = true
	p.bound()
	if u.ticks++; u.writes != u.seen {
		u.seen, u.ticks = u.writes, 0
	} else if p.spare != nil { // silent
		releaseBuffer(p.spare)
		p.spare = nil
	}
	p.old = p.limit.Age > 0 && time.Since(u.born) >= p.limit.Age
	switch {
	case p.writing && u.ticks >= u.deadline && takes(p.conn):
		u.ticks = 0 // who is slow is this process
	case p.writing && u.ticks >= u.deadline:
		u.cut = true
		p.cut()
	case !p.writing && !p.rendering && u.heartbeat > 0 && u.ticks+1 >= u.heartbeat:
		p.closeBatch()
		p.add(p.heartbeat)
		u.timer.Reset(u.every)
		p.flush()
		return
	}
	u.timer.Reset(u.every)
}

// bound bounds what the system holds of the page, of one that is large or has
// lived for a while: a small one ends before it pays.
func (p *Page) bound() {
	if !p.bounded {
		p.bounded = true
		boundUnsent(p.conn, 6*time.Duration(p.pulse.deadline)*p.pulse.every)
	}
}

// heartbeat appends a heartbeat.
func (p *Page) heartbeat(b []byte) []byte {
	if p.document != nil {
		return p.document.AppendHeartbeat(b)
	}
	return p.transport.AppendHeartbeat(b)
}
