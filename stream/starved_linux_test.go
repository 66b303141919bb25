package stream

import (
	"context"
	"net"
	"testing"
	"time"
)

// A starved connection is one whose writer gets no processor: it is before its
// write, which would not wait.
type starved struct {
	*net.TCPConn
	runs chan struct{}
}

func (c starved) Write(b []byte) (int, error) {
	<-c.runs
	return c.TCPConn.Write(b)
}

// Who is slow because this process is must not be cut off for it.
func TestAProcessThatIsSlowCutsOffNobody(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	browser, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer browser.Close()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	c := starved{conn.(*net.TCPConn), make(chan struct{})}
	time.AfterFunc(300*time.Millisecond, func() { close(c.runs) }) // many pulses later
	page := run(Response{WriteTimeout: 10 * time.Millisecond, Source: func(ctx context.Context, page *Page) error {
		return page.Send(Remove("a"))
	}}, c)
	if page.err != ErrEnded || page.Stats().Updates != 2 {
		t.Errorf("the page has ended with %v after %d updates", page.err, page.Stats().Updates)
	}
}
