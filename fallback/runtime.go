package fallback

import _ "embed"

// Runtime is the browser's half of every transport: JavaScript in the syntax of
// ECMAScript 3, minified, for a script element in the head of a page, in front
// of the first update. It makes the global function ff and, when the page has
// loaded, follows the feed whose URL the body's attribute data-ff-feed has. It
// holds nothing that could end the script element.
//
//go:embed runtime.min.js
var Runtime string

//go:generate go tool minify --quiet --js-version 5 -o runtime.min.js runtime.js
