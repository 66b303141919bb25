package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// A Slot is a place of a page that is filled when its data is there, whatever
// the others do.
type Slot struct {
	// Target is the id of the element whose content the slot's view becomes.
	Target string
	// View waits for the data and returns the view of it. Its context ends
	// with the page's and after Timeout; View returns soon after that.
	View func(ctx context.Context) (View, error)
	// Timeout is how long View may take until Failed stands in its place. The
	// page stays open until View has returned. Zero means ten seconds.
	Timeout time.Duration
	// Failed returns what the slot shows when View returned err, panicked or,
	// with context.DeadlineExceeded, took too long. Nil means a short text.
	Failed func(err error) View
}

const (
	defaultSlotTimeout = 10 * time.Second
	defaultMaxSlots    = 1000
)

// ErrSlots means that a page would wait for more slots at once than it may.
var ErrSlots = errors.New("the page waits for too many slots at once: fill fewer, one after the other, or set Response.MaxSlots")

// Fill fills slots, all at once, in the order in which their data arrives. A
// slot that fails, panics or is late shows what its Failed returns, and the
// others go on. Fill returns when every slot's View has returned, with an error
// only if the page has ended, or ErrSlots; failures of slots are logged. A page that leaves in
// the order of its document, as in plain mode does, is sent up to the first slot
// that is not filled.
func (p *Page) Fill(ctx context.Context, slots ...Slot) error {
	defer p.slots.Add(-int64(len(slots)))
	if p.slots.Add(int64(len(slots))) > p.maxSlots && p.maxSlots > 0 {
		return ErrSlots
	}
	p.tell(func(d Document) { d.Slots(targets(slots)) })
	var filling sync.WaitGroup
	for _, slot := range slots {
		filling.Go(func() { p.fill(ctx, slot) })
	}
	filling.Wait()
	return context.Cause(ctx)
}

func targets(slots []Slot) []string {
	ids := make([]string, len(slots))
	for i, slot := range slots {
		ids[i] = slot.Target
	}
	return ids
}

// fill fills slot. Its View runs in a goroutine of its own, so that a View that
// is deaf to its context cannot delay what the slot shows instead.
func (p *Page) fill(ctx context.Context, slot Slot) {
	timeout := slot.Timeout
	if timeout <= 0 {
		timeout = defaultSlotTimeout
	}
	slotCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	type outcome struct {
		update Update
		err    error
	}
	filled := make(chan outcome, 1)
	go func() {
		o := outcome{err: errNoView}
		defer func() { filled <- o }() // also when View ends its goroutine
		o.update, o.err = slot.update(slotCtx)
	}()

	select {
	case o := <-filled:
		p.settle(ctx, slot, o.update, o.err)
	case <-slotCtx.Done():
		p.settle(ctx, slot, Update{}, slotCtx.Err())
		<-filled
	}
}

var errNoView = errors.New("the slot's View has ended its goroutine")

// settle sends what a slot has come to.
func (p *Page) settle(ctx context.Context, slot Slot, update Update, err error) {
	if ctx.Err() != nil {
		return // the page has gone, so nobody waits
	}
	if err != nil {
		p.log.Warn("slot", "page", p.path, "slot", slot.Target, "err", err)
		p.tell(func(d Document) { d.Failed(slot.Target, err) })
		update = p.failed(slot, err)
	}
	if err := p.Send(update); err != nil && errors.Is(err, ErrUpdate) {
		p.log.Error("slot", "page", p.path, "slot", slot.Target, "err", err)
	}
}

// update returns the update that slot's View makes. A panic becomes an error.
func (s Slot) update(ctx context.Context) (u Update, err error) {
	defer recoverTo(&err, inSlot)
	view, err := s.View(ctx)
	if err != nil {
		return Update{}, err
	}
	return Inner(s.Target, view), nil
}

func (p *Page) failed(slot Slot, failure error) (u Update) {
	var err error
	defer func() {
		if err != nil {
			p.log.Error("slot", "page", p.path, "slot", slot.Target, "err", err)
			u = Inner(slot.Target, Text("not available"))
		}
	}()
	defer recoverTo(&err, inSlot)
	if slot.Failed == nil {
		return Inner(slot.Target, Text("not available"))
	}
	return Inner(slot.Target, slot.Failed(failure))
}

// A PanicError is a panic in an author's code that was contained.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // where, as debug.Stack returns it
}

// Error returns the panic's value and its stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// recoverTo, deferred, turns a panic into an error, and counts it by stage.
func recoverTo(err *error, stage string) {
	if r := recover(); r != nil {
		countPanic(stage)
		*err = &PanicError{Value: r, Stack: debug.Stack()}
	}
}
