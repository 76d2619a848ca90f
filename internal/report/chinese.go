package report

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// InChinese is a report with the words of its checks in Simplified Chinese. Objects, what is noted of them, and what
// PostgreSQL or the host said stay as they are, and so do the words of a check that is not known here: a report may
// be older than this program, or newer.
func InChinese(r upgrade.Report) upgrade.Report {
	r.Findings, r.NotChecked = slices.Clone(r.Findings), slices.Clone(r.NotChecked)
	for i, f := range r.Findings {
		r.Findings[i] = findingInChinese(f)
	}
	for i, what := range r.NotChecked {
		r.NotChecked[i] = notCheckedInChinese(what)
	}
	return r
}

// found begins what a report of an earlier version notes of single objects, behind the check's own reason.
const found = " Found: "

func findingInChinese(f upgrade.Finding) upgrade.Finding {
	known, ok := chineseChecks[f.Check]
	if !ok {
		return f
	}
	_, notes, noted := strings.Cut(f.Why, found)
	f.Title, f.Why, f.Remedy = known.title, known.why, known.remedy
	if noted {
		f.Why += "发现：" + notes
	}
	return f
}

// notCheckedInChinese says which check could not look, in which database, and why.
func notCheckedInChinese(what string) string {
	where, why, _ := strings.Cut(what, ": ")
	check, database, inDatabase := strings.Cut(where, " in database ")
	if _, known := chineseChecks[check]; known && inDatabase {
		return check + "（数据库 " + database + "）：" + SayInChinese(why)
	} else if known {
		return check + "：" + SayInChinese(why)
	}
	if database, whole := strings.CutPrefix(where, "database "); whole {
		return "数据库 " + database + "：" + SayInChinese(why)
	}
	return what
}

// SayInChinese is a reason, or a reason and a remedy with a semicolon between, in Simplified Chinese, as far as it is
// made of the sentences that are known here. The rest stays as it is.
func SayInChinese(text string) string {
	for i, p := range patterns() {
		if !strings.Contains(text, p.literal) {
			continue
		}
		if slots := p.whole.FindStringSubmatch(text); slots != nil {
			return chineseSentences[i].fill(slots[1:])
		}
	}
	at := strings.LastIndex(text, "; ")
	if at < 0 {
		return text
	}
	reason, remedy := SayInChinese(text[:at]), SayInChinese(text[at+2:])
	if remedy == text[at+2:] {
		return reason + "; " + remedy
	}
	return reason + "；" + remedy
}

// LogInChinese is the log of a task, as far as its sentences are known here: each line is a time, " --- " and a sentence,
// which begins with a capital letter and ends with a full stop, whatever it was when it was said.
func LogInChinese(log string) string {
	var chinese strings.Builder
	for line := range strings.Lines(log) {
		at, sentence, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " --- ")
		if !ok {
			chinese.WriteString(line)
			continue
		}
		chinese.WriteString(at + " --- " + lineInChinese(sentence) + "\n")
	}
	return chinese.String()
}

func lineInChinese(sentence string) string {
	first, size := utf8.DecodeRuneInString(sentence)
	said := string(unicode.ToLower(first)) + sentence[size:]
	for _, text := range []string{strings.TrimSuffix(said, "."), strings.TrimSuffix(sentence, "."), sentence} {
		if chinese := SayInChinese(text); chinese != text {
			return strings.TrimRight(chinese, "。.") + "。"
		}
	}
	return sentence
}

// saying is a sentence that pgleap words itself: the format in English as it stands where it is said, and the Chinese one,
// in which {1} is what the format's first verb wrote.
type saying struct{ english, chinese string }

// verb is a verb of a format, as it stands in a quoted expression.
var verb = regexp.MustCompile(`%[sdqvw]`)

// pattern matches what an English format writes. Texts without the literal, its longest part between verbs, do not:
// that is told much sooner.
type pattern struct {
	literal string
	whole   *regexp.Regexp
}

// patterns are those of chineseSentences, in their order. They are made once: a report may have thousands of reasons.
var patterns = sync.OnceValue(func() []pattern {
	all := make([]pattern, len(chineseSentences))
	for i, s := range chineseSentences {
		all[i] = pattern{
			literal: slices.MaxFunc(verb.Split(s.english, -1), func(a, b string) int { return len(a) - len(b) }),
			whole:   regexp.MustCompile(`(?s)^` + verb.ReplaceAllString(regexp.QuoteMeta(s.english), `(.+?)`) + `$`),
		}
	}
	return all
})

// fill writes the Chinese sentence. What has a space in it may be a sentence itself, and no name.
func (s saying) fill(slots []string) string {
	pairs := make([]string, 0, 2*len(slots))
	for i, slot := range slots {
		if strings.Contains(slot, " ") {
			slot = SayInChinese(slot)
		}
		pairs = append(pairs, "{"+strconv.Itoa(i+1)+"}", slot)
	}
	return strings.NewReplacer(pairs...).Replace(s.chinese)
}
