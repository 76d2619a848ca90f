package aliyun

import "strings"

func fullStop(text string) string {
	if text != "" && strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

// separated writes a text of several lines with the separator that was configured: the vendor's
// sample separates them by a backslash and an n.
func separated(text, newline string) string {
	if newline == "" || newline == "\n" {
		return text
	}
	return strings.ReplaceAll(text, "\n", newline)
}
