package brokertest

import (
	"testing"

	"foreverframe/stream"
)

func TestAHubAlone(t *testing.T) {
	Run(t, func(t *testing.T) func() *stream.Hub {
		hub := &stream.Hub{KeepEvents: Keep}
		return func() *stream.Hub { return hub }
	})
}
