package browsertest

import (
	"os/exec"
	"runtime"
)

// A child is a command that runs, and ends with the test's process even if that
// one panics, on Linux.
type child struct {
	*exec.Cmd
	ended chan struct{}
}

// startChild starts command. Linux tells a child that its parent has died when
// the thread that started it ends, so that one stays until the command has ended.
func startChild(command *exec.Cmd) (*child, error) {
	c := &child{command, make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.ended)
		dieWithParent(command)
		err := command.Start()
		started <- err
		if err == nil {
			command.Wait()
		}
	}()
	return c, <-started
}

// kill ends the command and waits until it has ended.
func (c *child) kill() {
	c.Process.Kill()
	<-c.ended
}
