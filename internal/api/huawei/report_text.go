package huawei

import (
	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// reportText is a report for people, in a language.
func reportText(r upgrade.Report, in language, c clock) string {
	if in == chinese {
		r = report.InChinese(r)
	}
	words := reportWords()
	say := func(phrase report.Phrase, args ...string) string { return words[phrase].text(in, args...) }
	return report.Huawei(r, say, c.format(r.ValidUntil))
}

// said is a sentence of pgleap's, which is worded in English, in a language.
func said(text string, in language) string {
	if in == chinese {
		return report.SayInChinese(text)
	}
	return text
}

// logText is the log of a task, which is kept in English, in a language.
func logText(log string, in language) string {
	if in == chinese {
		return report.LogInChinese(log)
	}
	return log
}

// reportWords are the messages that a report is made of.
func reportWords() map[report.Phrase]message {
	return map[report.Phrase]message{
		report.PhraseTitle:      msgReportTitle,
		report.PhraseBlockers:   msgReportBlockers,
		report.PhraseWarnings:   msgReportWarnings,
		report.PhraseInfos:      msgReportInfos,
		report.PhraseNotChecked: msgReportNotChecked,
		report.PhraseWhy:        msgReportWhy,
		report.PhraseRemedy:     msgReportRemedy,
		report.PhraseSQL:        msgReportSQL,
		report.PhraseMore:       msgReportMore,
		report.PhraseAccepted:   msgReportAccepted,
		report.PhrasePassed:     msgReportPassed,
		report.PhraseNotPassed:  msgReportNotPassed,
	}
}
