// Package templates has the views of the site, compiled by quicktemplate. They
// are types with a method WriteHTML, which makes each a stream.View, and know
// nothing of how they travel.
package templates

import (
	_ "embed"
	"io"

	"github.com/valyala/quicktemplate"
)

//go:generate go tool qtc -dir=.

// Style is the style sheet of the site.
//
//go:embed style.css
var Style []byte

// Script is the JavaScript of the site's pages, beyond the browser's half of
// their updates.
//
//go:embed site.js
var Script []byte

// A View is anything that writes itself as HTML.
type View interface {
	WriteHTML(w io.Writer)
}

// streamview writes v where a template says {%= view(v) %}.
func streamview(w *quicktemplate.Writer, v View) { v.WriteHTML(w.W()) }
