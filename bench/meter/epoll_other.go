//go:build !linux

package meter

// newDriver returns the driver of a loop.
func newDriver(l *loop) driver { return newGoroutines(l) }
