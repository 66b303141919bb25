package stream

import (
	"maps"
	"math"
	"sync"
	"time"
)

// rates are how many events each key may still publish. The zero value is ready
// to use.
type rates struct {
	mu   sync.Mutex // guards left
	left map[string]allowance
}

// maxAllowances is how many are kept before those are forgotten that are whole
// again.
const maxAllowances = 1024

// An allowance is a number of events that was left at some time. It grows with
// time, and less than zero is owed.
type allowance struct {
	events float64
	at     time.Time
}

// grown returns what a is at the time at.
func (a allowance) grown(rate, most float64, at time.Time) float64 {
	return min(most, a.events+rate*at.Sub(a.at).Seconds())
}

// take takes n events from what key has left, and returns zero; or nothing, and
// how many whole seconds to wait. A key has at most burst events, and gets rate
// a second; a rate of zero is any rate. Who wants more than burst needs all of
// it and owes the rest.
func (r *rates) take(key string, n int, rate float64, burst int) (wait time.Duration) {
	if rate <= 0 {
		return 0
	}
	most := float64(burst)
	if burst <= 0 {
		most = max(rate, 1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == nil {
		r.left = make(map[string]allowance)
	}
	left, at := most, time.Now()
	if a, ok := r.left[key]; ok {
		left = a.grown(rate, most, at)
	} else if len(r.left) >= maxAllowances {
		maps.DeleteFunc(r.left, func(_ string, a allowance) bool { return a.grown(rate, most, at) >= most })
	}
	if missing := min(float64(n), most) - left; missing > 0 {
		return time.Duration(math.Ceil(missing/rate)) * time.Second
	}
	r.left[key] = allowance{left - float64(n), at}
	return 0
}
