package stream

import (
	"slices"
	"time"
)

// This file is what a shard does from time to time, whatever happens.

// pulse cuts those off who do not take a write in time, and breaks a silence that
// lasts too long.
func (s *shard) pulse() {
	s.timer.Reset(s.every)
	s.now, s.timed = time.Now(), true
	s.count()
	unsent := 0
	for _, u := range slices.Clone(s.behind) {
		unsent += len(u.rest)
		if u.ticks++; len(u.rest) > 0 && u.ticks > s.deadline {
			s.late(u)
		}
	}
	backlog.Add(int64(unsent - s.backlog))
	s.backlog = unsent
	if s.silent++; s.wrote {
		s.silent, s.wrote = 0, false
		return
	}
	s.forget()
	if s.silence > 0 && s.silent+1 >= s.silence {
		s.wrote = true
		s.beat()
	}
}

// late cuts u off, unless its socket takes more: then who is slow is this process.
func (s *shard) late(u *subscriber) {
	unsent := len(u.rest)
	u.flush()
	switch {
	case u.fd < 0:
	case len(u.rest) == unsent:
		s.drop(u, ErrSlow)
	default:
		u.ticks = 0
		s.enqueue(u)
	}
}

// forget gives back what a shard needs only while there is something to do.
func (s *shard) forget() {
	s.taken = nil
	s.mu.Lock()
	if len(s.notices) == 0 {
		s.notices = nil
	}
	s.mu.Unlock()
	s.window.close()
	s.head, s.sealed = nil, nil
	if s.attached == 0 {
		s.newest.bytes, s.newest.zip = nil, zipped{}
	}
}

// maxBeats is the number of heartbeats that differ, in how long browsers are to
// wait before they connect again.
const maxBeats = 16

// beat writes a heartbeat to all who have got everything.
func (s *shard) beat() {
	shared := make([]batch, min(maxBeats, len(s.current)))
	for i, u := range slices.Clone(s.current) {
		func() {
			defer u.contain()
			b := &shared[i%len(shared)]
			if u.transport != nil {
				b = new(batch)
			}
			if b.bytes == nil {
				b.frame(u.own().AppendHeartbeat)
			}
			u.writeWhole(b, s.newest)
		}()
	}
}

// count adds to the metrics what has been counted since it did so last.
func (s *shard) count() {
	s.metrics.updates.Add(s.stats.Updates - s.counted.Updates)
	s.metrics.flushes.Add(s.stats.Flushes - s.counted.Flushes)
	s.metrics.bytes.Add(s.stats.Bytes - s.counted.Bytes)
	s.counted = s.stats
}
