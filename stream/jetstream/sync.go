package jetstream

import (
	"context"
	"time"
)

// topicsAtOnce is how many subjects the stream is asked for at once.
const topicsAtOnce = 200

// Sync asks the stream for the last numbers of topics, and has each read what it
// is missing. It takes what any server says, and the leader's word only where
// that does not go far enough.
func (b *Broker) Sync(ctx context.Context, topics []string, upTo uint64) error {
	now, err := b.target(ctx, upTo)
	if err != nil {
		return err
	}
	tails := b.followed(topics)
	for len(tails) > 0 {
		some := tails[:min(len(tails), topicsAtOnce)]
		tails = tails[len(some):]
		if err := b.syncSome(ctx, some, now); err != nil {
			return err
		}
	}
	return nil
}

// target returns the state in which last is where to go: the leader's, if upTo is
// behind all that is known.
func (b *Broker) target(ctx context.Context, upTo uint64) (state, error) {
	now := b.known()
	if upTo <= b.newest.Load() && upTo >= now.born {
		now.last = upTo - now.born
		return now, nil
	}
	return b.lookUpTo(ctx, upTo)
}

// lookUpTo returns the leader's state, in which last is no greater than upTo.
func (b *Broker) lookUpTo(ctx context.Context, upTo uint64) (state, error) {
	now, err := b.look(ctx)
	if err == nil && upTo >= now.born {
		now.last = min(now.last, upTo-now.born)
	}
	return now, err
}

// see remembers an id that there is.
func (b *Broker) see(id uint64) {
	for old := b.newest.Load(); id > old && !b.newest.CompareAndSwap(old, id); old = b.newest.Load() {
	}
}

// syncSome returns when tails have all up to now.last.
func (b *Broker) syncSome(ctx context.Context, tails []*tail, now state) error {
	least := tails[0].upTo.Load()
	subjects := make([]string, len(tails))
	for i, t := range tails {
		subjects[i] = t.subject
		least = min(least, t.upTo.Load())
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		numbers, upTo, err := b.last(ctx, subjects, least)
		if err != nil {
			return err
		}
		if upTo >= now.last {
			return reachAll(ctx, tails, now, numbers, upTo)
		}
		pause(ctx, wait)
		if now, err = b.lookUpTo(ctx, now.born+now.last); err != nil {
			return err
		}
	}
}

// reachAll has each of tails read what it is missing.
func reachAll(ctx context.Context, tails []*tail, now state, numbers map[string]uint64, upTo uint64) error {
	done := make(chan error, len(tails))
	asked := 0
	for _, t := range tails {
		select {
		case t.ask <- reach{state: now, last: numbers[t.subject], upTo: upTo, done: done}:
			asked++
		case <-t.gone:
		case <-ctx.Done():
			return away(ctx.Err())
		}
	}
	for range asked {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return away(ctx.Err())
		}
	}
	return nil
}

// followed returns the tails of topics.
func (b *Broker) followed(topics []string) (tails []*tail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range topics {
		if t := b.tails[topic]; t != nil {
			tails = append(tails, t)
		}
	}
	return tails
}
