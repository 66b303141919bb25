package client

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// A Client asks a server, over one connection for each request. Its methods may
// be called by several goroutines at once if Dial may.
type Client struct {
	// Dial connects to the server.
	Dial func(ctx context.Context) (net.Conn, error)
	// Gzip says that the client takes compressed answers, as browsers do.
	Gzip bool
}

// A StatusError is an answer that is no stream.
type StatusError int

func (e StatusError) Error() string { return fmt.Sprintf("the answer is %d", int(e)) }

// Follow connects page to the feed at address once: it asks, by t, for what
// follows the page's cursor, else the cursor in the address, and applies what
// comes. It returns nil when the connection has ended though the feed has not,
// and ErrDone, ErrFailed or ErrReload when the page follows no longer.
func (c Client) Follow(ctx context.Context, page *Page, address string, t Transport) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	header, query := http.Header{}, page.after(u)
	t.Ask(header, query)
	u.RawQuery = query.Encode()
	return c.read(ctx, u, header, t, page.Apply)
}

// Load loads the page at address and applies the updates that it brings itself;
// saw, if not nil, becomes the page's Saw. It returns the page also when the
// response ends early, which may be within its shell. The error is as Follow's.
func (c Client) Load(ctx context.Context, address string, saw func(Event)) (*Page, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	var s Script
	page := &Page{Saw: saw}
	header := http.Header{}
	s.Ask(header, nil)
	err = c.read(ctx, u, header, &s, func(e Event) error {
		page.open(s.Text.String())
		return page.Apply(e)
	})
	page.open(s.Text.String())
	return page, err
}

// read makes one request and has t read the answer. A connection that is lost
// ends it without an error.
func (c Client) read(ctx context.Context, u *url.URL, header http.Header, t Transport, event func(Event) error) error {
	dialed, err := c.Dial(ctx)
	if err != nil {
		return err
	}
	conn := &connection{Conn: dialed}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if c.Gzip {
		header.Set("Accept-Encoding", "gzip")
	}
	err = ask(conn, u, header, t, event)
	if err == nil || err == errAgain {
		return ctx.Err()
	}
	return err
}

func ask(conn *connection, u *url.URL, header http.Header, t Transport, event func(Event) error) error {
	req := &http.Request{Method: http.MethodGet, URL: u, Host: "127.0.0.1", Header: header}
	if req.Write(conn) != nil {
		return nil // it is lost
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), req)
	switch {
	case err != nil && conn.ended:
		return nil
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK:
		return StatusError(answer.StatusCode)
	}
	whole := io.Reader(body{answer.Body, conn})
	if answer.Header.Get("Content-Encoding") == "gzip" {
		whole = &gunzip{compressed: whole}
	}
	return t.Read(whole, event)
}

// gunzip reads what is compressed, as soon as it is flushed. It begins with the
// first read, because a header may be late.
type gunzip struct {
	compressed io.Reader
	*gzip.Reader
}

func (g *gunzip) Read(p []byte) (n int, err error) {
	if g.Reader == nil {
		if g.Reader, err = gzip.NewReader(g.compressed); err != nil {
			return 0, err
		}
	}
	return g.Reader.Read(p)
}

// A body that is lost ends in one way, wherever in its framing that was.
type body struct {
	io.Reader
	conn *connection
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF && b.conn.ended {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// A connection ends in one way, however it is lost.
type connection struct {
	net.Conn
	ended bool
}

func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.ended = true
		return n, io.EOF
	}
	return n, nil
}
