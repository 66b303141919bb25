package hostiletest

import (
	"slices"
	"strings"
	"testing"
)

func TestThereAreManyDistinctTexts(t *testing.T) {
	all := Texts()
	if len(all) < 200 {
		t.Errorf("there are %d", len(all))
	}
	slices.Sort(all)
	for i, text := range all[1:] {
		if text == all[i] {
			t.Errorf("%q is there twice", text)
		}
	}
	for _, part := range []string{"</script\f", "<!--<script>", "]]>", "\u2028", "\x00", "\xed\xa0\x80", "\xc0\xbc", "\ufeff", "${", "srcdoc", "javascript:", "\rid:", "\n\ndata:", "&lt", "\u202e", "\u200b"} {
		if !slices.ContainsFunc(all, func(text string) bool { return strings.Contains(text, part) }) {
			t.Errorf("none has %q", part)
		}
	}
}
