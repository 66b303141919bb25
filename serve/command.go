// Package serve is the server as a program: its flags, its credentials, how it
// starts and how it ends.
package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"foreverframe/access"
	"foreverframe/demo"
	"foreverframe/stream"
	"foreverframe/stream/disk"

	"github.com/valyala/fasthttp"
)

// A Command serves the site and its feeds, as its flags say. The zero value lacks
// the flags' defaults; kong sets them.
type Command struct {
	Listen     string   `help:"Address to listen on." default:"127.0.0.1:8080" env:"FOREVERFRAME_LISTEN"`
	PublishKey []string `help:"Key that may publish; repeatable. A random one is made if nobody may otherwise." env:"FOREVERFRAME_PUBLISH_KEY"`

	PublishKeyFile string     `help:"File of further keys, one a line; it may change at any time." env:"FOREVERFRAME_PUBLISH_KEY_FILE"`
	JWTKey         string     `name:"jwt-key" help:"What JSON Web Tokens are signed with: a secret of at least 32 bytes, or a public key in PEM. Feeds need a token then, but for those of the site's own pages." env:"FOREVERFRAME_JWT_KEY"`
	JWTKeyFile     string     `name:"jwt-key-file" help:"File that has it." env:"FOREVERFRAME_JWT_KEY_FILE"`
	JWTAudience    string     `name:"jwt-audience" help:"Audience that tokens must be for." env:"FOREVERFRAME_JWT_AUDIENCE"`
	Log            string     `help:"How the log is written, to standard error: text or json." enum:"text,json" default:"text" env:"FOREVERFRAME_LOG"`
	LogLevel       slog.Level `help:"What is logged: info has a line for the end of each stream, warn has not." default:"info" env:"FOREVERFRAME_LOG_LEVEL"`
	DebugListen    string     `help:"Address of this machine to serve /debug/pprof on; empty means none." env:"FOREVERFRAME_DEBUG_LISTEN"`

	CORSOrigin []string      `name:"cors-origin" help:"Other origin whose pages may use feeds; repeatable." env:"FOREVERFRAME_CORS_ORIGIN"`
	KeepEvents int           `help:"Events kept of each topic." default:"1024" env:"FOREVERFRAME_KEEP_EVENTS"`
	KeepBytes  int           `help:"Bytes kept of each topic." default:"4194304" env:"FOREVERFRAME_KEEP_BYTES"`
	KeepAge    time.Duration `help:"Age of what is kept of each topic; 0 means for ever." default:"0s" env:"FOREVERFRAME_KEEP_AGE"`
	DropAfter  time.Duration `help:"Time after which a topic that nobody uses is forgotten; less than 0 means never." default:"1h" env:"FOREVERFRAME_DROP_AFTER"`
	MaxTopics  int           `help:"Largest number of topics; less than 0 means any." default:"10000" env:"FOREVERFRAME_MAX_TOPICS"`
	Data       string        `help:"Directory that keeps the topics when the process ends; without one they live in memory." placeholder:"DIR" env:"FOREVERFRAME_DATA"`
	Fsync      time.Duration `help:"With --data, how often it is made safe; 0s means before each answer to a publisher. What comes within it is lost if the process is killed." default:"0s" env:"FOREVERFRAME_FSYNC"`
	Broker     brokerFlags   `embed:""`
	Rate       float64       `help:"Events a second that each key may publish; 0 means any number." default:"0" env:"FOREVERFRAME_RATE"`
	Burst      int           `help:"Events that each key may publish at once; 0 means those of one second." default:"0" env:"FOREVERFRAME_BURST"`
	TLSCert    string        `name:"tls-cert" help:"File with the certificate, and its chain, for HTTPS; read again when it changes." env:"FOREVERFRAME_TLS_CERT"`
	TLSKey     string        `name:"tls-key" help:"File with the certificate's key." env:"FOREVERFRAME_TLS_KEY"`

	MaxBody     int           `help:"Bytes of the largest body that is published." default:"1048576" env:"FOREVERFRAME_MAX_BODY"`
	MaxUpdate   int           `help:"Bytes of the largest update that is published." default:"262144" env:"FOREVERFRAME_MAX_UPDATE"`
	MaxHeader   int           `help:"Bytes of the largest request line with its headers." default:"16384" env:"FOREVERFRAME_MAX_HEADER"`
	ReadTimeout time.Duration `help:"Longest time that a client may take to send a request." default:"30s" env:"FOREVERFRAME_READ_TIMEOUT"`
	IdleTimeout time.Duration `help:"Longest time that a connection is kept between requests; a proxy in front must let go sooner." default:"2m" env:"FOREVERFRAME_IDLE_TIMEOUT"`

	MaxStreams      int            `help:"Largest number of open streams; less than 0 means any." default:"50000" env:"FOREVERFRAME_MAX_STREAMS"`
	MaxStreamsPerIP int            `name:"max-streams-per-ip" help:"Largest number of open streams of one client address; less than 0 means any." default:"1000" env:"FOREVERFRAME_MAX_STREAMS_PER_IP"`
	TrustProxy      []netip.Prefix `help:"Network of proxies whose X-Forwarded-For tells the client's address, for example 10.0.0.0/8; repeatable. This machine is one." env:"FOREVERFRAME_TRUST_PROXY"`
	Drain           time.Duration  `help:"Longest time until the process ends after SIGTERM: pages that end have it to finish, and feeds end one after the other. A second signal ends it at once." default:"10s" env:"FOREVERFRAME_DRAIN"`
}

// A Pipe is a Command whose page of the log shows standard input.
type Pipe struct {
	Command
	Title string `help:"Title of the page." default:"log" env:"FOREVERFRAME_TITLE"`
}

// UntilSignal returns a context that is done at SIGINT or SIGTERM. The second
// signal ends the process.
func UntilSignal() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// Run serves until ctx is done, and then for as long as the drain takes.
func (c Command) Run(ctx context.Context) error {
	site, err := c.site()
	if err != nil {
		return err
	}
	closeStore, err := c.keep(ctx, &site.Hub)
	if err != nil {
		return err
	}
	defer closeStore()
	return c.serve(ctx, site, "/demo/hello")
}

// Run serves standard input until ctx is done; its end leaves the site standing.
func (c Pipe) Run(ctx context.Context) error {
	site, err := c.site()
	if err != nil {
		return err
	}
	site.LogTitle = c.Title
	site.Hub.DropAfter = -1 // the lines of a program that is silent for long stay
	closeStore, err := c.keep(ctx, &site.Hub)
	if err != nil {
		return err
	}
	defer closeStore()
	go pipe(ctx, site, os.Stdin) // ends with the process: a read of a terminal cannot be interrupted
	return c.serve(ctx, site, "/demo/log")
}

func pipe(ctx context.Context, site *demo.Site, input io.Reader) {
	if err := site.Pipe(ctx, input); err != nil {
		fmt.Fprintln(os.Stderr, "foreverframe: pipe:", err)
	}
}

func (c *Command) site() (*demo.Site, error) {
	c.setLog()
	keys, err := c.keyFile()
	if err != nil {
		return nil, err
	}
	tokens, err := c.tokens()
	if err != nil {
		return nil, err
	}
	if len(c.PublishKey) == 0 && keys == nil && tokens == nil {
		c.PublishKey = []string{rand.Text()}
	}
	origins := access.Origins(c.CORSOrigin)
	if err := origins.Check(); err != nil {
		return nil, fmt.Errorf("--cors-origin: %w", err)
	}
	return &demo.Site{
		Hub: stream.Hub{
			KeepEvents: c.KeepEvents,
			KeepBytes:  c.KeepBytes,
			KeepAge:    c.KeepAge,
			DropAfter:  c.DropAfter,
			MaxTopics:  c.MaxTopics,
		},
		Streams: stream.Streams{
			Max:           c.MaxStreams,
			MaxPerAddress: c.MaxStreamsPerIP,
			Proxies:       c.TrustProxy,
		},
		Keys:    c.PublishKey,
		KeyFile: keys,
		Tokens:  tokens,
		Rate:    c.Rate,
		Burst:   c.Burst,
		Origins: origins,

		MaxBody:     c.MaxBody,
		MaxUpdate:   c.MaxUpdate,
		MaxHead:     c.MaxHeader,
		ReadTimeout: c.ReadTimeout,
		IdleTimeout: c.IdleTimeout,
	}, nil
}

// setLog makes the default log what the flags say.
func (c *Command) setLog() {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	var handler slog.Handler = slog.NewTextHandler(os.Stderr, options)
	if c.Log == "json" {
		handler = slog.NewJSONHandler(os.Stderr, options)
	}
	slog.SetDefault(slog.New(handler))
}

// keep makes hub keep its topics where the flags say, until that is closed.
func (c *Command) keep(ctx context.Context, hub *stream.Hub) (closeStore func(), err error) {
	switch {
	case c.Data != "" && c.Broker.URL != "":
		return nil, errors.New("--data and --nats: give one of them: with NATS the stream keeps the topics")
	case c.Broker.URL != "":
		return c.Broker.connect(ctx, hub)
	case c.Data == "":
		return func() {}, nil
	}
	store, err := disk.Open(c.Data, c.Fsync)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	closeStore = func() {
		if err := store.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "foreverframe: --data:", err)
		}
	}
	if err := hub.Restore(store); err != nil {
		closeStore()
		return nil, fmt.Errorf("--data: %w", err)
	}
	return closeStore, nil
}

// serve serves site until ctx is done, and then until open pages have finished
// or the time for that is over.
func (c Command) serve(ctx context.Context, site *demo.Site, example string) error {
	listener, err := c.listen()
	if err != nil {
		return err
	}
	var profiles net.Listener
	if c.DebugListen != "" {
		if profiles, err = listenLocally(c.DebugListen); err != nil {
			listener.Close()
			return err
		}
		fmt.Printf("Profiles are at http://%s/debug/pprof/\n", profiles.Addr())
	}
	site.Address = c.scheme() + "://" + listener.Addr().String()
	fmt.Printf("Foreverframe is at %s\nSee a page arrive:   curl -N %[1]s%s\n", site.Address, example)
	key := "KEY"
	if len(c.PublishKey) > 0 {
		key = c.PublishKey[0]
	}
	fmt.Printf("Publish to %s/demo/log:\n  curl -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \\\n    -d '{\"action\":\"append\",\"target\":\"lines\",\"text\":\"hello\\n\"}' %[1]s/feeds/log\n", site.Address, key)

	server := site.Server()
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	carrying, stopCarrying := context.WithCancel(context.WithoutCancel(ctx)) // also while the streams end
	defer stopCarrying()
	running.Go(func() { site.Hub.Run(carrying) })
	running.Go(func() { site.Run(ctx) })
	if profiles != nil {
		running.Go(func() { serveProfiles(ctx, profiles) })
	}
	running.Go(func() {
		<-ctx.Done()
		c.drain(site, server)
	})
	return server.Serve(listener)
}

// listen returns a listener, of TLS if there is a certificate.
func (c Command) listen() (net.Listener, error) {
	var secret *certificate
	if c.TLSCert != "" || c.TLSKey != "" {
		var err error
		if secret, err = loadCertificate(c.TLSCert, c.TLSKey); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("%w: choose another address with --listen, for example --listen 127.0.0.1:0", err)
	}
	listener = demo.Listener{Listener: listener}
	if secret != nil {
		return stream.NewTLSListener(listener, secret.config()), nil
	}
	return listener, nil
}

func (c Command) scheme() string {
	if c.TLSCert != "" {
		return "https"
	}
	return "http"
}

// drain ends the streams of site, and then server, within c.Drain.
func (c Command) drain(site *demo.Site, server *fasthttp.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Drain)
	defer cancel()
	patience, stop := context.WithTimeout(ctx, c.Drain*9/10) // the rest is for those that are told to end
	defer stop()
	site.Streams.Drain(patience)
	if err := server.ShutdownWithContext(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "foreverframe: shutdown:", err)
	}
}
