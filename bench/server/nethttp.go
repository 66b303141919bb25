package server

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"foreverframe/stream"
)

// serveNetHTTP serves as one does with the standard library: a goroutine for each
// stream, which writes and flushes, and a channel to each from whoever publishes.
func serveNetHTTP(l net.Listener) error {
	var topics channels
	mux := http.NewServeMux()
	mux.HandleFunc("GET /job", func(w http.ResponseWriter, r *http.Request) {
		j := readJob(r.URL.Query())
		send := open(w, j.transport, j.shell())
		for i := uint64(1); i <= j.n && r.Context().Err() == nil; i++ {
			send(wire(j.transport, j.event(i)))
		}
	})
	mux.HandleFunc("GET /feeds/{topic}", func(w http.ResponseWriter, r *http.Request) {
		send := open(w, stream.SSE{}, stream.SSE{}.AppendStart(nil))
		updates := topics.join(r.PathValue("topic"))
		defer topics.leave(r.PathValue("topic"), updates)
		for {
			select {
			case u := <-updates:
				send(u)
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("POST /feeds/{topic}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, err := topics.publish(r.PathValue("topic"), body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, strconv.FormatUint(id, 10))
	})
	mux.HandleFunc("GET /counters", func(w http.ResponseWriter, _ *http.Request) { w.Write(counters()) })
	return http.Serve(l, mux)
}

// open sends the head and the start of a stream, and returns what sends more.
func open(w http.ResponseWriter, t stream.Transport, start []byte) (send func([]byte)) {
	flusher := w.(http.Flusher)
	w.Header().Set("Content-Type", contentType(t))
	w.Header().Set("Cache-Control", "no-store")
	send = func(b []byte) {
		w.Write(b)
		flusher.Flush()
	}
	send(start)
	return send
}

// channels has one for each stream of each topic.
type channels struct {
	mu     sync.Mutex // guards the rest
	topics map[string]map[chan []byte]bool
	last   uint64
}

func (c *channels) join(topic string) chan []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topics == nil {
		c.topics = make(map[string]map[chan []byte]bool)
	}
	if c.topics[topic] == nil {
		c.topics[topic] = make(map[chan []byte]bool)
	}
	updates := make(chan []byte, 256)
	c.topics[topic][updates] = true
	return updates
}

func (c *channels) leave(topic string, updates chan []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.topics[topic], updates)
}

// publish sends an update to all streams but those whose channel is full.
func (c *channels) publish(topic string, body []byte) (id uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	e, err := published(body, c.last)
	if err != nil {
		return 0, err
	}
	u := wire(stream.SSE{}, e)
	for updates := range c.topics[topic] {
		select {
		case updates <- u:
		default:
		}
	}
	return c.last, nil
}
