//go:build !linux

package stream

import "github.com/valyala/fasthttp"

// canShare reports false: here every stream has a goroutine.
func (s *session) canShare() bool { return false }

func (s *session) serveShared(*fasthttp.RequestCtx) {}
