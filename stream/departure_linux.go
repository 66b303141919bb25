package stream

import "errors"

// This file is how subscribers leave a shard.

// A departure is a subscriber that has left, for the log.
type departure struct {
	*subscriber
	cause string
}

// drop ends u at once: in order if why is nil.
func (s *shard) drop(u *subscriber, why error) {
	if u.fd < 0 {
		return
	}
	cause := u.cause
	if why != nil {
		cause = causeName(why)
	}
	switch {
	case errors.As(why, new(*PanicError)):
		u.err = why
	case why != nil:
		dropped.Add(u.unsent.Updates)
	}
	s.detach(u)
	s.unlist(u)
	u.close(why)
	s.metrics.end(cause)
	s.left = append(s.left, departure{u, cause})
}

// farewell logs who has left, and gives their places free.
func (s *shard) farewell() {
	if len(s.left) == 0 {
		return
	}
	s.count()
	left := s.left
	s.left = nil
	go s.report(left) // ends by itself: a log may wait, a shard does not
	s.leave(len(left))
}

func (s *shard) report(left []departure) {
	for _, d := range left {
		s.logEnd(d)
		d.member.leave()
	}
}

func (s *shard) logEnd(d departure) {
	var err error
	defer recoverTo(&err, inCallback)
	name := s.transport.Name()
	if d.err != nil {
		d.log.Error("page", "page", d.path.Value(), "transport", name, "err", d.err)
	}
	logEnd(d.log, ending{d.path.Value(), name, s.names, d.cause, d.began, d.stats})
}
