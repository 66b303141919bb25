package stream

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A task is what has to run now and then, never twice at once: run, some time
// after each wake. All tasks share as many goroutines as there are processors,
// which end when there is nothing to do.
type task struct {
	run   func()
	state atomic.Int32
}

const (
	taskIdle    = iota
	taskQueued  // it runs soon
	taskRunning // it runs
	taskAgain   // it runs, and has been woken since
)

// wake makes the task run. It does not wait.
func (t *task) wake() {
	for {
		switch state := t.state.Load(); state {
		case taskIdle:
			if t.state.CompareAndSwap(state, taskQueued) {
				workers.add(t)
				return
			}
		case taskRunning:
			if t.state.CompareAndSwap(state, taskAgain) {
				return
			}
		default:
			return
		}
	}
}

// turn runs the task once.
func (t *task) turn() {
	t.state.Store(taskRunning)
	t.run()
	if !t.state.CompareAndSwap(taskRunning, taskIdle) {
		t.state.Store(taskQueued)
		workers.add(t)
	}
}

// workers run tasks.
var workers pool

type pool struct {
	mu      sync.Mutex // guards the rest
	queue   []*task
	done    int // of queue, tasks that somebody works on
	working int // goroutines
}

func (p *pool) add(t *task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == cap(p.queue) && p.done > len(p.queue)/2 {
		p.queue, p.done = slices.Delete(p.queue, 0, p.done), 0
	}
	p.queue = append(p.queue, t)
	if p.working < runtime.GOMAXPROCS(0) {
		p.working++
		go work() // ends when the queue is empty
	}
}

// work is no method, so that to start it allocates nothing.
func work() {
	for t := workers.next(); t != nil; t = workers.next() {
		t.turn()
	}
}

// next returns the next task, or nil, and the worker is to end then.
func (p *pool) next() *task {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == len(p.queue) {
		p.queue, p.done = p.queue[:0], 0
		p.working--
		return nil
	}
	t := p.queue[p.done]
	p.queue[p.done] = nil
	p.done++
	return t
}
