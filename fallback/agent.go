package fallback

import "strings"

// scriptless are the clients that get a page in plain mode unless they ask for a
// transport: a part of the header User-Agent, in any case of letters. They are
// those that run no scripts, and crawlers, which may run some but wait for no
// stream. It matters only where a page is what they accept: who asks for an event
// stream gets one. Programs that people write, curl and wget among them, are not
// here: they get what a browser gets.
var scriptless = []struct{ part, who string }{
	{"lynx/", "Lynx"},
	{"w3m/", "w3m"},
	{"links (", "Links"},
	{"elinks", "ELinks"},
	{"netsurf/", "NetSurf"},
	{"dillo", "Dillo"},
	{"url/emacs", "EWW"},
	{"googlebot", "Google's crawler"},
	{"bingbot", "Bing's"},
	{"duckduckbot", "DuckDuckGo's"},
	{"yandexbot", "Yandex's"},
	{"baiduspider", "Baidu's"},
	{"applebot", "Apple's"},
	{"petalbot", "Huawei's"},
	{"amazonbot", "Amazon's"},
	{"gptbot", "OpenAI's"},
	{"claudebot", "Anthropic's"},
	{"perplexitybot", "Perplexity's"},
	{"ccbot", "Common Crawl's"},
	{"archive.org_bot", "the Internet Archive's"},
	{"facebookexternalhit", "previews of Facebook"},
	{"twitterbot", "of X"},
	{"linkedinbot", "of LinkedIn"},
	{"slackbot", "of Slack"},
	{"discordbot", "of Discord"},
	{"telegrambot", "of Telegram"},
	{"whatsapp/", "of WhatsApp"},
}

// runsNoScripts reports whether a client is one of scriptless.
func runsNoScripts(userAgent string) bool {
	userAgent = strings.ToLower(userAgent)
	for _, client := range scriptless {
		if strings.Contains(userAgent, client.part) {
			return true
		}
	}
	return false
}
