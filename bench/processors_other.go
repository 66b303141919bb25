//go:build !linux

package bench

import "runtime"

// allowed are the processors that the program was started with.
var allowed = make([]int, runtime.NumCPU())

// onServerProcessors calls start; elsewhere than on Linux the system shares the
// processors out.
func onServerProcessors(start func() error) error { return start() }

func takeClientProcessors() {}
