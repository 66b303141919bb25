// Foreverframe serves HTML pages that arrive as they happen, and feeds that any
// program can publish to.
package main

import (
	"context"

	"foreverframe/bench"
	"foreverframe/bench/server"
	"foreverframe/serve"

	"github.com/alecthomas/kong"
)

// commands is the command line.
type commands struct {
	Serve serve.Command `cmd:"" default:"withargs" help:"Serve the site and its feeds (the default)."`
	Pipe  serve.Pipe    `cmd:"" help:"Serve the site, and show standard input on it line by line: tail -f app.log | foreverframe pipe --title app"`

	Bench       benchCommand   `cmd:"" help:"Measure what each push technique costs, for this server and for any other."`
	BenchServer server.Command `cmd:"" hidden:""`
}

type benchCommand struct {
	Run     bench.Command        `cmd:"" default:"withargs" help:"Measure (the default): foreverframe bench --quick"`
	Compare bench.CompareCommand `cmd:"" help:"Say what has changed between two reports beyond the noise: foreverframe bench compare old.json new.json"`
}

func main() {
	var c commands
	command := kong.Parse(&c,
		kong.Name("foreverframe"),
		kong.Description("HTML pages that arrive as they happen, pushed to any browser."),
		kong.Vars{"scenarios": bench.ScenarioNames()},
		kong.UsageOnError())
	command.BindTo(serve.UntilSignal(), (*context.Context)(nil))
	command.FatalIfErrorf(command.Run())
}
