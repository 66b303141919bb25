// Package hostiletest has texts that leave the place that they are put in wherever
// it does not escape them, for tests: the classes of OWASP's cheat sheets on
// cross-site scripting, the states of script data in HTML's tokenizer, the fields
// of server-sent events, the line ends of HTTP, and text that is none.
package hostiletest

import (
	_ "embed"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

//go:embed hostile.txt
var file string

// Texts returns all texts, each once. A script that one of them brings into a
// page calls the function hit.
func Texts() []string {
	var all []string
	for line := range strings.Lines(file) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		text, err := strconv.Unquote(line)
		if err != nil {
			panic(fmt.Sprintf("hostile.txt: %s: %v", line, err))
		}
		all = append(all, text)
	}
	return append(all, long()...)
}

// Seeds returns what a fuzz test begins with: all texts when it runs as a test, and
// some while it fuzzes, because a fuzzer takes long for each before it begins.
func Seeds() []string {
	all := Texts()
	if !Fuzzing() {
		return all
	}
	var some []string
	for i := 0; i < len(all); i += 20 {
		if len(all[i]) < 1000 {
			some = append(some, all[i])
		}
	}
	return some
}

// Fuzzing reports whether a fuzz test is what runs.
func Fuzzing() bool {
	pattern := flag.Lookup("test.fuzz")
	return pattern != nil && pattern.Value.String() != ""
}

// long returns texts that are longer than the buffers on their way.
func long() []string {
	return []string{
		strings.Repeat("x", 70_000) + "</script><script>hit()</script>",
		strings.Repeat("<script>hit()</script>", 2_000),
		strings.Repeat("<!--<script>", 2_000),
		strings.Repeat("<b>", 1_000) + "<img src=x onerror=hit()>",
		strings.Repeat("\r\n", 3_000) + "event: done",
		strings.Repeat("\x00", 3_000),
		strings.Repeat("😀", 5_000),
		strings.Repeat("\xf0\x9f", 5_000),
		strings.Repeat("&", 10_000) + "lt;",
		strings.Repeat(`\`, 10_001) + `");hit();//`,
	}
}
