package bench

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// The processors are shared out: the first half is the client's, the others are
// the server's. With one there is nothing to share.

// allowed are the processors that the program was started with.
var allowed = func() (list []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for i := 0; len(list) < set.Count(); i++ {
		if set.IsSet(i) {
			list = append(list, i)
		}
	}
	return list
}()

// half returns the processors of one side, false if there are too few.
func half(server bool) (set unix.CPUSet, ok bool) {
	for i, processor := range allowed {
		if (i >= len(allowed)/2) == server {
			set.Set(processor)
		}
	}
	return set, len(allowed) > 1
}

// onServerProcessors calls start so that the process which it starts, and its
// children, run on the processors of the server.
func onServerProcessors(start func() error) error {
	set, ok := half(true)
	if !ok {
		return start()
	}
	runtime.LockOSThread() // a child has the processors of the thread that made it
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return start()
	}
	if unix.SchedSetaffinity(0, &set) == nil {
		defer unix.SchedSetaffinity(0, &before)
	}
	return start()
}

// takeClientProcessors keeps this process to the processors of the client.
func takeClientProcessors() {
	set, ok := half(false)
	if !ok {
		return
	}
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			unix.SchedSetaffinity(id, &set)
		}
	}
}
