// A server of feeds with github.com/tmaxmax/go-sse, as its documentation has it,
// for comparison.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/tmaxmax/go-sse"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8081", "address")
	flag.Parse()
	replayer, err := sse.NewFiniteReplayer(1024, false)
	if err != nil {
		log.Fatal(err)
	}
	feeds := &sse.Server{
		Provider: &sse.Joe{Replayer: replayer},
		OnSession: func(_ http.ResponseWriter, r *http.Request) ([]string, bool) {
			return []string{r.PathValue("topic")}, true
		},
	}
	var last atomic.Int64
	http.HandleFunc("GET /feeds/{topic}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush() // so that the client knows that it is connected
		feeds.ServeHTTP(w, r)
	})
	http.HandleFunc("POST /feeds/{topic}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var u struct{ Action, Target, HTML string }
		if err := json.Unmarshal(body, &u); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		m := &sse.Message{ID: sse.ID(strconv.FormatInt(last.Add(1), 10)), Type: sse.Type(u.Action)}
		m.AppendData(u.Target + "\n" + u.HTML)
		if err := feeds.Publish(m, r.PathValue("topic")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}
