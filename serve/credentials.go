package serve

import (
	"errors"
	"fmt"
	"os"

	"foreverframe/access"
	"foreverframe/stream"
)

// This file is who may publish and follow, by flags.

// keyFile returns the file of keys, nil if there is none.
func (c *Command) keyFile() (*stream.KeyFile, error) {
	if c.PublishKeyFile == "" {
		return nil, nil
	}
	keys := &stream.KeyFile{Path: c.PublishKeyFile}
	if err := keys.Load(); err != nil {
		return nil, fmt.Errorf("--publish-key-file: %w", err)
	}
	return keys, nil
}

// tokens returns what checks tokens, nil if there are none.
func (c *Command) tokens() (*access.Tokens, error) {
	text := []byte(c.JWTKey)
	switch {
	case c.JWTKey != "" && c.JWTKeyFile != "":
		return nil, errors.New("--jwt-key and --jwt-key-file: give one of them")
	case c.JWTKeyFile != "":
		var err error
		if text, err = os.ReadFile(c.JWTKeyFile); err != nil {
			return nil, fmt.Errorf("--jwt-key-file: %w", err)
		}
	case c.JWTKey == "":
		return nil, nil
	}
	key, err := access.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("the key of tokens: %w", err)
	}
	return &access.Tokens{Key: key, Audience: c.JWTAudience}, nil
}
