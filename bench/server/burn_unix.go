//go:build unix

package server

import (
	"syscall"
	"time"
)

// burn uses the processor for a share of what the process has used without it.
func burn(share float64) {
	burnt, since := time.Duration(0), used()
	for {
		time.Sleep(5 * time.Millisecond)
		for {
			now := used()
			if due := time.Duration(float64(now-since-burnt) * share); burnt >= due {
				break
			}
			for start := time.Now(); time.Since(start) < 20*time.Microsecond; {
			}
			burnt += used() - now
		}
	}
}

// used is the processor time that the process has used.
func used() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
