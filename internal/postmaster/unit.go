package postmaster

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// unitLine is a line of a unit, with those that continue it (systemd.syntax(7)).
type unitLine struct {
	raw     string // as it stands there, its end included
	section string
	key     string // empty: a comment, a section's name or an empty line
	value   string
}

// parseUnit reads what "systemctl cat" prints: a unit's file, and then those that add to it.
func parseUnit(text string) []unitLine {
	var lines []unitLine
	section, open := "", false
	for raw := range strings.Lines(text) {
		trimmed := strings.TrimSpace(raw)
		isComment := strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";")
		if open {
			last := &lines[len(lines)-1]
			last.raw += raw
			if isComment { // it may stand among them, and ends nothing
				continue
			}
			last.value += " " + strings.TrimSpace(strings.TrimSuffix(trimmed, `\`))
			open = strings.HasSuffix(trimmed, `\`)
			continue
		}
		line := unitLine{raw: raw, section: section}
		key, value, isSetting := strings.Cut(trimmed, "=")
		switch {
		case isComment || trimmed == "":
		case strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]"):
			section = trimmed[1 : len(trimmed)-1]
			line.section = section
		case isSetting:
			open = strings.HasSuffix(value, `\`)
			line.key, line.value = strings.TrimSpace(key), strings.TrimSpace(strings.TrimSuffix(value, `\`))
		}
		lines = append(lines, line)
	}
	return lines
}

// unitLines are the lines of a unit, with what its specifiers stand for (systemd.unit(5)): those for its name would
// stand for another one in a unit that is made of it, and paths are looked for in the others.
func unitLines(text, unit string) []unitLine {
	specifiers := specifiersOf(unit)
	lines := parseUnit(text)
	for i := range lines {
		if lines[i].key != "" {
			lines[i].raw, lines[i].value = specifiers.Replace(lines[i].raw), specifiers.Replace(lines[i].value)
		}
	}
	return lines
}

// specifiersOf replaces the specifiers that stand for a unit's name and for the directories of the system's services.
// "%%" stays, and so do all others.
func specifiersOf(unit string) *strings.Replacer {
	name := strings.TrimSuffix(unit, ".service")
	prefix, instance, _ := strings.Cut(name, "@")
	last := prefix[strings.LastIndex(prefix, "-")+1:]
	file := instance
	if file == "" {
		file = prefix
	}
	return strings.NewReplacer("%%", "%%", "%n", unit, "%N", name,
		"%p", prefix, "%P", unescapeName(prefix), "%i", instance, "%I", unescapeName(instance),
		"%j", last, "%J", unescapeName(last), "%f", "/"+strings.TrimPrefix(unescapeName(file), "/"),
		"%t", "/run", "%S", "/var/lib", "%C", "/var/cache", "%L", "/var/log", "%E", "/etc")
}

// escapedByte is a byte that a unit's name cannot have as it is.
var escapedByte = regexp.MustCompile(`\\x[0-9a-fA-F]{2}`)

// unescapeName takes a part of a unit's name for a path, as systemd-escape(1) has it.
func unescapeName(text string) string {
	return escapedByte.ReplaceAllStringFunc(strings.ReplaceAll(text, "-", "/"), func(escaped string) string {
		code, err := strconv.ParseUint(escaped[2:], 16, 8)
		if err != nil {
			return escaped
		}
		return string([]byte{byte(code)})
	})
}

// madeFor is how a file of our making begins. Only one that begins so is ever changed or removed for a cluster.
func madeFor(target upgrade.Cluster) string {
	return registeredByUs + "# Data directory: " + target.Pgdata + "\n"
}

// keepsRuntime has a unit that stops leave its RuntimeDirectory= (systemd.exec(5)): source and target have their
// sockets in the same one, and the other may serve.
const keepsRuntime = "RuntimeDirectoryPreserve=yes\n"

// unitFor is a unit for the target: all of the source's, but for what it starts and for the names that only one
// unit can have.
func unitFor(text string, target, source upgrade.Cluster, notifies bool) string {
	var unit strings.Builder
	fmt.Fprintf(&unit, "%s# It is %s, as that was, with what is said for the upgraded cluster at its end.\n", madeFor(target), source.Unit)
	lines := unitLines(text, source.Unit)
	for _, line := range lines {
		if line.section == "Install" && (line.key == "Alias" || line.key == "Also") {
			continue
		}
		raw := line.raw
		if line.key != "" && !strings.HasPrefix(line.key, "Exec") {
			raw = replacePath(raw, source.Pgdata, target.Pgdata)
		}
		unit.WriteString(raw)
	}
	if !strings.HasSuffix(unit.String(), "\n") {
		unit.WriteString("\n")
	}
	fmt.Fprintf(&unit, "\n# For the upgraded cluster.\n[Unit]\nDescription=PostgreSQL %d in %s\n", target.Version.Major(), escapeUnit(target.Pgdata))
	unit.WriteString(serviceFor(lines, target, source, notifies))
	if strings.Contains(text, "RuntimeDirectory=") {
		unit.WriteString(keepsRuntime)
	}
	return unit.String()
}

// dropInFor has the source's own unit start the target. The text is the unit's without an earlier drop-in for it.
func dropInFor(text string, target, source upgrade.Cluster, notifies bool) string {
	var dropIn strings.Builder
	fmt.Fprintf(&dropIn, "%s# The instance was upgraded to PostgreSQL %d, which this unit starts since.\n", madeFor(target), target.Version.Major())
	lines := unitLines(text, source.Unit)
	if carried := carriedFor(lines, "Unit", target, source); carried != "" {
		dropIn.WriteString("[Unit]\n" + carried)
	}
	dropIn.WriteString(serviceFor(lines, target, source, notifies) + carriedFor(lines, "Service", target, source))
	return dropIn.String()
}

// carriedFor says for the target what a section says of the source's directory, such as which mounts it requires and
// what may be written. What serviceFor says anew is left out.
func carriedFor(lines []unitLine, section string, target, source upgrade.Cluster) string {
	var said []unitLine
	for _, line := range lines {
		switch {
		case line.section != section || line.key == "" || line.key == "PIDFile":
		case strings.HasPrefix(line.key, "Exec"), strings.HasPrefix(line.key, "Environment"):
		case line.value == "": // it takes back those before it
			said = slices.DeleteFunc(said, func(before unitLine) bool { return listOf(before.key) == listOf(line.key) })
		default:
			said = append(said, line)
		}
	}
	replaced := func(line unitLine) string {
		return replacePath(line.value, escapeUnit(source.Pgdata), escapeUnit(target.Pgdata))
	}
	var carried strings.Builder
	anew := map[string]bool{}
	for _, line := range said {
		list := listOf(line.key)
		moves := func(other unitLine) bool { return listOf(other.key) == list && replaced(other) != other.value }
		if !moves(line) && !(saidAnew(list) && slices.ContainsFunc(said, moves)) {
			continue
		}
		if saidAnew(list) && !anew[list] {
			anew[list] = true
			fmt.Fprintf(&carried, "%s=\n", line.key)
		}
		fmt.Fprintf(&carried, "%s=%s\n", line.key, replaced(line))
	}
	return carried.String()
}

// listOf names the list that a setting adds to: conditions of all kinds are in one, which an empty one of any kind
// takes back, and so are assertions (systemd.unit(5)).
func listOf(key string) string {
	for _, list := range []string{"Condition", "Assert"} {
		if strings.HasPrefix(key, list) {
			return list
		}
	}
	return key
}

// saidAnew tells whether what a list says of the source's directory must go: it would fail the start of the target
// once that directory is removed. To other lists the target's is added, and of other settings the last one holds.
func saidAnew(list string) bool {
	return list == "Condition" || list == "Assert" || list == "ReadWritePaths" || list == "ReadOnlyPaths"
}

// serviceFor says how the target is started, stopped and reloaded, as PostgreSQL's manual has it (Starting the
// Database Server): the signal is that of a fast shutdown, and goes to the postmaster alone. A server that does not
// tell systemd when it is ready is started by pg_ctl, which waits for it.
func serviceFor(lines []unitLine, target, source upgrade.Cluster, notifies bool) string {
	kind, pidFile := "notify", ""
	start := execLine(filepath.Join(target.Bindir, "postgres"), "-D", target.Pgdata)
	if !notifies {
		kind, pidFile = "forking", escapeUnit(filepath.Join(target.Pgdata, "postmaster.pid"))
		start = execLine(filepath.Join(target.Bindir, "pg_ctl"), "start", "-D", target.Pgdata, "-s", "-w", "-t", "600")
	}
	var service strings.Builder
	service.WriteString("[Service]\n")
	say := func(key string, values ...string) {
		for _, value := range values {
			fmt.Fprintf(&service, "%s=%s\n", key, value)
		}
	}
	say("Environment", quoteUnit("PGDATA="+target.Pgdata, false))
	for _, command := range []struct {
		key string
		do  []string
	}{
		{"ExecStartPre", othersCommands(lines, "ExecStartPre", source)},
		{"ExecStart", []string{start}},
		{"ExecStartPost", othersCommands(lines, "ExecStartPost", source)},
		{"ExecReload", []string{"/bin/kill -HUP $MAINPID"}},
		{"ExecStop", nil}, // the signal does
		{"ExecStopPost", othersCommands(lines, "ExecStopPost", source)},
	} {
		say(command.key, append([]string{""}, command.do...)...) // the empty one takes back those before
	}
	say("PIDFile", pidFile)
	say("Type", kind)
	say("KillMode", "mixed")
	say("KillSignal", "SIGINT")
	return service.String()
}

// othersCommands are the commands of a unit that are not about its version of PostgreSQL or its data directory:
// those that check one before the start come with the packages of a version.
func othersCommands(lines []unitLine, key string, source upgrade.Cluster) []string {
	var values []string
	for _, line := range lines {
		switch {
		case line.section != "Service" || line.key != key:
		case line.value == "": // it takes back those before it
			values = nil
		case strings.Contains(line.value, source.Bindir), strings.Contains(line.value, source.Pgdata), strings.Contains(line.value, "PGDATA"),
			strings.Contains(line.value, "check-db-dir"):
		case !slices.Contains(values, line.value):
			values = append(values, line.value)
		}
	}
	return values
}

// replacePath replaces a path where it stands as a whole or with more behind it.
func replacePath(text, from, to string) string {
	var replaced strings.Builder
	for {
		at := strings.Index(text, from)
		if at < 0 || from == "" {
			return replaced.String() + text
		}
		end := at + len(from)
		replaced.WriteString(text[:at])
		if end == len(text) || strings.ContainsRune("/ \t\n\"':;,", rune(text[end])) {
			replaced.WriteString(to)
		} else {
			replaced.WriteString(from)
		}
		text = text[end:]
	}
}

// execLine is a command of a unit.
func execLine(program string, args ...string) string {
	words := []string{quoteUnit(program, true)}
	for _, arg := range args {
		words = append(words, quoteUnit(arg, true))
	}
	return strings.Join(words, " ")
}

// escapeUnit keeps systemd from seeing specifiers (systemd.unit(5)).
func escapeUnit(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// quoteUnit quotes a word (systemd.syntax(7)). In commands variables would be replaced, too.
func quoteUnit(word string, command bool) string {
	escaped := escapeUnit(word)
	if command {
		escaped = strings.ReplaceAll(escaped, "$", "$$")
	}
	if !strings.ContainsAny(escaped, " \t\"'\\;") {
		return escaped
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(escaped) + `"`
}
