package stream

import (
	"cmp"
	"context"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unique"

	"github.com/valyala/fasthttp"
)

// A crowd is the subscribers who follow the same topics in the same way, so that
// the bytes for one are the bytes for all. It stands in shards.
type crowd struct {
	hub       *Hub
	topics    string    // with commas between them
	transport Transport // what they share of it
	timeout   time.Duration
	heartbeat time.Duration
	limit     Limit
	gzip      bool
	server    context.Context
}

// maxShard is the largest number of subscribers of a shard. One that is smaller
// wakes more workers than it saves time.
const maxShard = 2048

// crowds are all crowds that have a subscriber, with their shards.
var crowds = struct {
	sync.Mutex // guards shards and the size of each
	shards     map[crowd][]*shard
}{shards: make(map[crowd][]*shard)}

// shard returns a shard with a place for one more subscriber, who has it until
// leave.
func (c crowd) shard() (*shard, error) {
	crowds.Lock()
	defer crowds.Unlock()
	shards := crowds.shards[c]
	i := slices.IndexFunc(shards, func(s *shard) bool { return s.size < maxShard })
	if i < 0 {
		s, err := newShard(c)
		if err != nil {
			return nil, err
		}
		i, shards = len(shards), append(shards, s)
		crowds.shards[c] = shards
	}
	shards[i].size++
	return shards[i], nil
}

// leave gives the places of n subscribers free, and ends s if they were the last.
func (s *shard) leave(n int) {
	crowds.Lock()
	defer crowds.Unlock()
	if s.size -= n; s.size > 0 {
		return
	}
	s.stop()
	rest := slices.DeleteFunc(crowds.shards[s.crowd], func(other *shard) bool { return other == s })
	if crowds.shards[s.crowd] = rest; len(rest) == 0 {
		delete(crowds.shards, s.crowd)
	}
}

// canShare reports whether the session can be served by a crowd.
func (s *session) canShare() bool {
	t, ok := s.Transport.(Sharer)
	return ok && canTake(s.conn) && s.Feed.hub != nil && s.Feed.err == nil && s.Feed.hub.holds(s.Feed.Topics, s.place()) && s.Shell == nil && s.Wait == 0 && s.Flush == Flush{} &&
		reflect.ValueOf(t.Shared()).Comparable() && theWatcher() != nil
}

// canTake reports whether a crowd can have conn.
func canTake(conn net.Conn) bool {
	switch conn.(type) {
	case *net.TCPConn, *tlsConn:
		return true
	}
	return false
}

// place returns the id after which the session goes on.
func (s *session) place() uint64 { return cmp.Or(s.After, s.Feed.After) }

// serveShared makes req's connection a subscriber. fasthttp may drop who hijacks a
// connection without a word, so until then the session has no place.
func (s *session) serveShared(req *fasthttp.RequestCtx) {
	s.member.leave()
	header := &req.Response.Header
	header.SetContentLength(-1)
	header.SetConnectionClose()
	req.HijackSetNoResponse(true)
	req.Hijack(func(net.Conn) { // req lives until this returns, and has what was set after Serve
		if err := s.subscribe(header.Header()); err != nil {
			s.logger().Error("page", "page", s.path, "transport", s.Transport.Name(), "err", err)
		}
	})
}

// subscribe makes the session a subscriber, whose response begins with head. It
// returns an error if there can be none; the connection ends then.
func (s *session) subscribe(head []byte) (err error) {
	defer recoverTo(&err, inEncoder)
	start := s.Transport.AppendStart(nil)
	sub := &subscriber{
		member: s.member,
		log:    s.logger(),
		path:   unique.Make(s.path),
		began:  time.Now(),
		fresh:  true,
		place:  s.place(),
		rest:   slices.Clone(head),
		open:   s.Transport.AppendOpen(nil),
	}
	if s.coding != nil {
		sub.gzip = new(gzipMember)
		sub.rest = appendChunk(sub.rest, []byte(gzipHead))
	}
	sub.rest = sub.appendOwn(sub.rest, start)
	if len(start) > 0 {
		sub.unsent = Stats{Flushes: 1, Bytes: len(start)}
	}
	shared := s.Transport.(Sharer).Shared()
	if shared != s.Transport {
		sub.transport = s.Transport
	}
	timeout := orDefault(s.WriteTimeout, defaultWriteTimeout)
	boundUnsent(s.conn, 6*timeout)
	if err = sub.take(s.conn); err != nil {
		return err
	}
	sub.shard, err = crowd{
		hub:       s.Feed.hub,
		topics:    strings.Join(s.Feed.Topics, ","),
		transport: shared,
		timeout:   timeout,
		heartbeat: orDefault(s.Heartbeat, defaultHeartbeat),
		limit:     s.Limit,
		gzip:      s.coding != nil,
		server:    s.server,
	}.shard()
	if err != nil {
		syscall.Close(sub.fd)
		return err
	}
	if !s.expires.IsZero() {
		sub.expiry = time.AfterFunc(time.Until(s.expires), func() { sub.end(ErrExpired) })
	}
	member := s.member
	s.member = nil // it does not leave with the request
	member.run(sub.end)
	member.follow()
	sub.shard.tell(notice{subscriber: sub, joins: true})
	return nil
}

// take makes conn, which canTake, the subscriber's: what is unsent is the first that
// is written to it.
func (u *subscriber) take(conn net.Conn) (err error) {
	switch conn := conn.(type) {
	case *net.TCPConn:
		u.fd, err = duplicate(conn)
	case *tlsConn:
		if u.fd, err = conn.take(); err == nil {
			u.tls, u.rest = conn, conn.seal(nil, u.rest)
		}
	}
	return err
}

// duplicate returns a descriptor of conn's own that stays when conn is closed. It
// does not block, as conn's does not.
func duplicate(conn *net.TCPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlled := raw.Control(func(of uintptr) {
		number, _, errno := syscall.Syscall(syscall.SYS_FCNTL, of, syscall.F_DUPFD_CLOEXEC, 0)
		if fd = int(number); errno != 0 {
			err = errno
		}
	})
	return fd, cmp.Or(controlled, err)
}
