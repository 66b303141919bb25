package serve

import (
	"context"
	"fmt"
	"time"

	"foreverframe/stream"
	"foreverframe/stream/jetstream"
)

// brokerFlags say which NATS shares the topics, and how it keeps them; of each it
// keeps as many events as a hub does.
type brokerFlags struct {
	URL      string        `name:"nats" help:"Address of NATS, or several with commas between them, for topics that are shared with other processes: nats://127.0.0.1:4222" placeholder:"URL" env:"FOREVERFRAME_NATS"`
	Creds    string        `name:"nats-creds" help:"File with the credentials for NATS, as nsc makes it." placeholder:"FILE" env:"FOREVERFRAME_NATS_CREDS"`
	CA       string        `name:"nats-ca" help:"File with the certificates that those of NATS's servers are checked with; empty means those of the system." placeholder:"FILE" env:"FOREVERFRAME_NATS_CA"`
	Cert     string        `name:"nats-cert" help:"File with a certificate that NATS checks." placeholder:"FILE" env:"FOREVERFRAME_NATS_CERT"`
	Key      string        `name:"nats-key" help:"File with that certificate's key." placeholder:"FILE" env:"FOREVERFRAME_NATS_KEY"`
	Stream   string        `name:"nats-stream" help:"Name of the stream, which is made if there is none." default:"foreverframe" env:"FOREVERFRAME_NATS_STREAM"`
	Subject  string        `name:"nats-subject" help:"What the stream's subjects begin with." default:"foreverframe" env:"FOREVERFRAME_NATS_SUBJECT"`
	Replicas int           `name:"nats-replicas" help:"Number of servers that keep the stream; a single server needs 1." default:"3" env:"FOREVERFRAME_NATS_REPLICAS"`
	MaxAge   time.Duration `name:"nats-max-age" help:"Age of what the stream keeps; 0 means for ever." default:"24h" env:"FOREVERFRAME_NATS_MAX_AGE"`
	MaxBytes int64         `name:"nats-max-bytes" help:"Bytes that the stream keeps on each server, of all topics together; 0 means any number." default:"1073741824" env:"FOREVERFRAME_NATS_MAX_BYTES"`
	Messages int64         `name:"nats-max-messages" help:"Events that the stream keeps of all topics together; 0 means any number." default:"0" env:"FOREVERFRAME_NATS_MAX_MESSAGES"`
}

// connectWait is how long the process waits at its start for NATS.
const connectWait = 30 * time.Second

// connect makes hub share its topics by NATS, until that is closed.
func (f brokerFlags) connect(ctx context.Context, hub *stream.Hub) (closeBroker func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	broker, err := jetstream.Connect(ctx, jetstream.Config{
		URL:         f.URL,
		Credentials: f.Creds,
		CA:          f.CA,
		Cert:        f.Cert,
		Key:         f.Key,
		Stream:      f.Stream,
		Subject:     f.Subject,
		Replicas:    f.Replicas,
		PerTopic:    hub.KeepEvents,
		MaxAge:      f.MaxAge,
		MaxBytes:    f.MaxBytes,
		MaxMessages: f.Messages,
	})
	if err != nil {
		return nil, fmt.Errorf("--nats: %w", err)
	}
	hub.Broker = broker
	return broker.Close, nil
}
