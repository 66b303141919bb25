package stream

import "slices"

// This file is which of a shard's subscribers are where.

// listOf returns the list that u belongs into.
func (s *shard) listOf(u *subscriber) *[]*subscriber {
	if u.behind {
		return &s.behind
	}
	return &s.current
}

func (s *shard) list(u *subscriber) {
	to := s.listOf(u)
	u.index = len(*to)
	*to = append(*to, u)
}

func (s *shard) unlist(u *subscriber) {
	from := s.listOf(u)
	last := len(*from) - 1
	(*from)[u.index] = (*from)[last]
	(*from)[u.index].index = u.index
	(*from)[last] = nil
	*from = (*from)[:last]
}

// moveTo moves u to those behind, or to those who are not.
func (s *shard) moveTo(u *subscriber, behind bool) {
	if u.behind != behind {
		s.unlist(u)
		u.behind = behind
		s.list(u)
	}
}

// enqueue makes u go on when it is its turn.
func (s *shard) enqueue(u *subscriber) {
	if !u.queued {
		u.queued = true
		s.queue = append(s.queue, u)
		s.task.wake()
	}
}

// attach makes u go on behind the batch b.
func (s *shard) attach(u *subscriber, b *batch) {
	if u.at == nil {
		s.attached++
	}
	u.at = b
}

// detach makes u, if it is to go on behind a batch, go on from the log.
func (s *shard) detach(u *subscriber) {
	if u.at != nil {
		s.attached--
		u.place, u.at = u.at.last, nil
	}
}

// detachAll makes all go on from the log. What they have yet to get of a batch stays
// as it is: nothing else is encoded into its bytes.
func (s *shard) detachAll() {
	for _, u := range s.behind {
		s.detach(u)
	}
	s.newest = &batch{last: s.follower.place, end: s.newest.end}
}

// eachCurrent calls f for all who have got everything; f may move them.
func (s *shard) eachCurrent(f func(*subscriber)) {
	for _, u := range slices.Clone(s.current) {
		f(u)
	}
}

func (s *shard) each(f func(*subscriber)) {
	s.eachCurrent(f)
	for _, u := range slices.Clone(s.behind) {
		f(u)
	}
}
