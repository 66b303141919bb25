package stream

import (
	"strings"
	"unicode/utf8"
)

// Every byte that an author or a stranger chose reaches the wire through one
// of the functions of this file, one for each place where text can stand.
// Each appends to b and returns it, allocates only where b has to grow, and
// can be called from any number of goroutines.

const hexDigits = "0123456789abcdef"

// AppendJS appends s as a double-quoted string that is at once a JSON string
// (RFC 8259, section 7), a JavaScript string literal of any edition from
// ECMAScript 3 on, and harmless inside an HTML script element: it holds no
// '<', '>' or '&'. Beyond what JSON asks for it escapes U+2028 and U+2029,
// which ended a literal before ES2019, and the format characters (category
// Cf, the joiners of emoji among them), which ES3 engines drop from source
// text. Bytes that are not UTF-8 become U+FFFD.
func AppendJS(b []byte, s string) []byte {
	b = append(b, '"')
	clean := 0 // s[clean:i] needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if jsSafe[c] {
				i++
				continue
			}
			b = append(b, s[clean:i]...)
			b = appendJSControl(b, c)
			i++
			clean = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if bad := r == utf8.RuneError && size == 1; bad || jsFormat(r) {
			b = append(b, s[clean:i]...)
			b = appendUnicodeEscape(b, r)
			clean = i + size
		}
		i += size
	}
	b = append(b, s[clean:]...)
	return append(b, '"')
}

func appendJSControl(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return appendUnicodeEscape(b, rune(c))
}

// appendUnicodeEscape appends \uXXXX for a rune of the basic plane.
func appendUnicodeEscape(b []byte, r rune) []byte {
	return append(b, '\\', 'u',
		hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// jsSafe has the ASCII characters that stand for themselves in AppendJS.
var jsSafe = func() (safe [utf8.RuneSelf]bool) {
	for c := byte(' '); c < 0x7f; c++ {
		safe[c] = strings.IndexByte(`"\<>&`, c) < 0
	}
	return safe
}()

// jsFormat reports whether r is a line separator or a format character of the
// basic plane.
func jsFormat(r rune) bool {
	switch {
	case r < 0x2000:
		return r == 0xad || r >= 0x600 && r <= 0x605 || r == 0x61c || r == 0x6dd ||
			r == 0x70f || r == 0x890 || r == 0x891 || r == 0x8e2 || r == 0x180e
	case r <= 0x206f:
		return r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060
	}
	return r == 0xfeff || r >= 0xfff9 && r <= 0xfffb
}

// AppendHTML appends s as text of an HTML document or as the value of a quoted
// attribute (HTML, section 13.2.5, states "data" and "attribute value"). A
// carriage return becomes a character reference, because the parser would make
// a line feed of it. NUL goes through as it is: no document can hold it, but
// the browser's half of an update puts it back. Bytes that are not UTF-8 become
// U+FFFD.
func AppendHTML(b []byte, s string) []byte {
	clean := 0
	for i := 0; i < len(s); {
		c := s[i]
		if htmlSafe[c] {
			i++
			continue
		}
		var reference string
		size := 1
		switch {
		case c == '&':
			reference = "&amp;"
		case c == '<':
			reference = "&lt;"
		case c == '>':
			reference = "&gt;"
		case c == '"':
			reference = "&#34;"
		case c == '\'':
			reference = "&#39;"
		case c == '\r':
			reference = "&#13;"
		case c >= utf8.RuneSelf:
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
				reference = "\ufffd"
			}
		}
		if reference != "" {
			b = append(b, s[clean:i]...)
			b = append(b, reference...)
			clean = i + size
		}
		i += size
	}
	return append(b, s[clean:]...)
}

// htmlSafe has the ASCII characters that stand for themselves in AppendHTML.
var htmlSafe = func() (safe [256]bool) {
	for c := range byte(utf8.RuneSelf) {
		safe[c] = strings.IndexByte("&<>\"'\r", c) < 0
	}
	return safe
}()

// AppendField appends one field of a server-sent event (HTML, section 9.2.5),
// "name: value" and a line feed. A field is one line and an id has no NUL, so
// CR, LF and NUL in value become U+FFFD; name is the caller's own constant.
func AppendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	clean := 0
	for i := 0; i < len(value); i++ {
		if c := value[i]; c == '\r' || c == '\n' || c == 0 {
			b = append(b, value[clean:i]...)
			b = append(b, "\ufffd"...)
			clean = i + 1
		}
	}
	b = append(b, value[clean:]...)
	return append(b, '\n')
}

// AppendData appends text as the data of a server-sent event, one data field a
// line (HTML, section 9.2.6). CR, LF and CRLF each end a line there, so a
// reader gets text back with a line feed in the place of each.
func AppendData(b []byte, text string) []byte {
	for {
		line, rest, more := strings.Cut(text, "\n")
		if more {
			line = strings.TrimSuffix(line, "\r") // of CRLF
		}
		for strings.IndexByte(line, '\r') >= 0 {
			var before string
			before, line, _ = strings.Cut(line, "\r")
			b = appendDataLine(b, before)
		}
		b = appendDataLine(b, line)
		if !more {
			return b
		}
		text = rest
	}
}

// appendDataLine always puts the blank after the colon: a reader removes one.
func appendDataLine(b []byte, line string) []byte {
	b = append(b, "data: "...)
	b = append(b, line...)
	return append(b, '\n')
}
