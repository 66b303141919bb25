package stream

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// Who takes a little, so that no write waits, and then nothing more is noticed
// by the system, as is who has vanished without a word.
func TestWhatIsUnsentIsBoundedInAge(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		causes := make(chan error, 1)
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			Response{WriteTimeout: 100 * time.Millisecond, Heartbeat: -1, Source: func(ctx context.Context, page *Page) error {
				time.Sleep(200 * time.Millisecond) // until the page's first tick
				if err := page.Send(Append("a", Text(strings.Repeat("x", unsentBytes/2)))); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return nil
			}}.Serve(req)
		})
		s.narrow(t)
		s.connect(t).ask("GET /")
		if err := <-causes; !errors.Is(err, ErrClientGone) {
			t.Errorf("the cause is %v, want ErrClientGone", err)
		}
	})
}

// narrow leaves the system of clients that are yet to connect no room.
func (s *site) narrow(t *testing.T) {
	t.Helper()
	dial := s.dial
	first, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	address := first.RemoteAddr().String()
	first.Close()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		})
	}}
	_, overTLS := first.(interface{ NetConn() net.Conn })
	s.dial = func() (net.Conn, error) {
		conn, err := dialer.Dial("tcp", address)
		if err != nil || !overTLS {
			return conn, err
		}
		return encrypt(conn), nil
	}
}
