package pgconf

import "strings"

// NotShown stands for a value that may be a secret.
const NotShown = "(not shown)"

// Shown returns a value as a report may tell it. Values of settings that
// neither server knows, of extensions, and of those that hold commands or
// connection strings are not told: there are passwords in them.
func Shown(name, value string, source, target Description) string {
	if IsSecretive(name) || !source.Knows(name) && !target.Knows(name) {
		return NotShown
	}
	return value
}

// IsSecretive tells whether values of a setting of the server may hold secrets.
func IsSecretive(name string) bool {
	name = foldName(name)
	return strings.HasSuffix(name, "_command") || strings.Contains(name, "conninfo") || strings.Contains(name, "passphrase")
}

// lineShown returns a line of postgresql.conf as a report may tell it. A
// comment may hold a secret as well: only ours are shown, and settings that
// were made comments.
func lineShown(text string, source, target Description) string {
	text = strings.TrimSuffix(text, "\r")
	if strings.HasPrefix(text, remark) {
		return text
	}
	rest, comment := strings.CutPrefix(text, "#")
	line, reason := parseConfLine(rest)
	if reason != "" || !line.isSetting() {
		return "# " + NotShown
	}
	shown := line.name + " = "
	if value := Shown(line.name, line.value, source, target); value == NotShown {
		shown += NotShown
	} else {
		shown += Quote(value)
	}
	if comment {
		shown = "#" + shown
	}
	return shown
}

// hbaLineShown does so with a line of pg_hba.conf. Options such as
// ldapbindpasswd and radiussecrets hold passwords.
func hbaLineShown(text string) string {
	text = strings.TrimSuffix(text, "\r")
	if strings.HasPrefix(text, remark) {
		return text
	}
	rest, comment := strings.CutPrefix(text, "#")
	hba, err := ParseHBA([]byte(rest))
	if err != nil || len(hba.Lines) != 1 {
		return "# " + NotShown
	}
	line := hba.Lines[0]
	for i, option := range line.Options {
		if strings.Contains(option.Name, "passwd") || strings.Contains(option.Name, "secret") {
			line.Options[i].Value = NotShown
		}
	}
	shown, err := line.Format()
	if err != nil {
		return "# " + NotShown
	}
	if comment {
		shown = "#" + shown
	}
	return shown
}
