// Foreverframe serves HTML pages that arrive as they happen, and feeds that any
// program can publish to.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"foreverframe/bench"
	"foreverframe/bench/server"
	"foreverframe/demo"
	"foreverframe/stream"

	"github.com/alecthomas/kong"
	"github.com/valyala/fasthttp"
)

// commands is the command line.
type commands struct {
	Serve serveCommand `cmd:"" default:"withargs" help:"Serve the site and its feeds (the default)."`
	Pipe  pipeCommand  `cmd:"" help:"Serve the site, and show standard input on it line by line: tail -f app.log | foreverframe pipe --title app"`

	Bench       benchCommand   `cmd:"" help:"Measure what each push technique costs, for this server and for any other."`
	BenchServer server.Command `cmd:"" hidden:""`
}

type benchCommand struct {
	Run     bench.Command        `cmd:"" default:"withargs" help:"Measure (the default): foreverframe bench --quick"`
	Compare bench.CompareCommand `cmd:"" help:"Say what has changed between two reports beyond the noise: foreverframe bench compare old.json new.json"`
}

type serveCommand struct {
	Listen     string        `help:"Address to listen on." default:"127.0.0.1:8080" env:"FOREVERFRAME_LISTEN"`
	PublishKey []string      `help:"Key that may publish; repeatable. A random one is made if there is none." env:"FOREVERFRAME_PUBLISH_KEY"`
	CORSOrigin []string      `name:"cors-origin" help:"Other origin whose pages may read feeds; repeatable." env:"FOREVERFRAME_CORS_ORIGIN"`
	KeepEvents int           `help:"Events kept of each topic." default:"1024" env:"FOREVERFRAME_KEEP_EVENTS"`
	KeepBytes  int           `help:"Bytes kept of each topic." default:"4194304" env:"FOREVERFRAME_KEEP_BYTES"`
	KeepAge    time.Duration `help:"Age of what is kept of each topic; 0 means for ever." default:"0s" env:"FOREVERFRAME_KEEP_AGE"`
	DropAfter  time.Duration `help:"Time after which a topic that nobody uses is forgotten; less than 0 means never." default:"1h" env:"FOREVERFRAME_DROP_AFTER"`
	MaxTopics  int           `help:"Largest number of topics; less than 0 means any." default:"10000" env:"FOREVERFRAME_MAX_TOPICS"`
	Rate       float64       `help:"Events a second that each key may publish; 0 means any number." default:"0" env:"FOREVERFRAME_RATE"`
	Burst      int           `help:"Events that each key may publish at once; 0 means those of one second." default:"0" env:"FOREVERFRAME_BURST"`
	Drain      time.Duration `help:"Longest time until the process ends after SIGTERM; open streams are told to end at once." default:"10s" env:"FOREVERFRAME_DRAIN"`
}

type pipeCommand struct {
	serveCommand
	Title string `help:"Title of the page." default:"log" env:"FOREVERFRAME_TITLE"`
}

func main() {
	var c commands
	command := kong.Parse(&c,
		kong.Name("foreverframe"),
		kong.Description("HTML pages that arrive as they happen, pushed to any browser."),
		kong.Vars{"scenarios": bench.ScenarioNames()},
		kong.UsageOnError())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	command.FatalIfErrorf(command.Run())
}

// Run serves until ctx is done.
func (c serveCommand) Run(ctx context.Context) error {
	site := c.site()
	return c.serve(ctx, site, "/demo/hello")
}

// Run serves standard input until ctx is done; its end leaves the site standing.
func (c pipeCommand) Run(ctx context.Context) error {
	site := c.site()
	site.LogTitle = c.Title
	site.Hub.DropAfter = -1      // the lines of a program that is silent for long stay
	go pipe(ctx, site, os.Stdin) // ends with the process: a read of a terminal cannot be interrupted
	return c.serve(ctx, site, "/demo/log")
}

func pipe(ctx context.Context, site *demo.Site, input io.Reader) {
	if err := site.Pipe(ctx, input); err != nil {
		fmt.Fprintln(os.Stderr, "foreverframe: pipe:", err)
	}
}

func (c *serveCommand) site() *demo.Site {
	if len(c.PublishKey) == 0 {
		c.PublishKey = []string{rand.Text()}
	}
	return &demo.Site{
		Hub: stream.Hub{
			KeepEvents: c.KeepEvents,
			KeepBytes:  c.KeepBytes,
			KeepAge:    c.KeepAge,
			DropAfter:  c.DropAfter,
			MaxTopics:  c.MaxTopics,
		},
		Keys:    c.PublishKey,
		Rate:    c.Rate,
		Burst:   c.Burst,
		Origins: c.CORSOrigin,
	}
}

// serve serves site until ctx is done, and then until open pages have finished
// or the time for that is over.
func (c serveCommand) serve(ctx context.Context, site *demo.Site, example string) error {
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("%w: choose another address with --listen, for example --listen 127.0.0.1:0", err)
	}
	site.Address = "http://" + listener.Addr().String()
	fmt.Printf("Foreverframe is at %s\nSee a page arrive:   curl -N %[1]s%s\n", site.Address, example)
	fmt.Printf("Publish to %s/demo/log:\n  curl -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \\\n    -d '{\"action\":\"append\",\"target\":\"lines\",\"text\":\"hello\\n\"}' %[1]s/feeds/log\n", site.Address, c.PublishKey[0])

	server := site.Server()
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { site.Run(ctx) })
	running.Go(func() {
		<-ctx.Done()
		c.drain(server)
	})
	return server.Serve(listener)
}

// drain ends server; the streams learn of it through their contexts.
func (c serveCommand) drain(server *fasthttp.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Drain)
	defer cancel()
	if err := server.ShutdownWithContext(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "foreverframe: shutdown:", err)
	}
}
