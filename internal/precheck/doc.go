// Package precheck looks for everything that would stop an upgrade later, or lose data, while
// nothing has been touched yet.
//
// A check is a value in a file of its own: what it looks for, why it matters, what to do. all.go
// lists the checks in reading order. To add one, write such a file, put it into the list, add a
// case to its test (violate, find, mend, find nothing) and run
//
//	go test ./internal/precheck -run Docs -update
//
// Checks read: SQL on the source (read-only transactions, ACCESS SHARE locks, short time-outs),
// SQL on a scratch cluster that the target's own initdb made, and facts about the host that are
// handed to them. They run no programs and touch no files. A check that cannot be carried out is
// reported as such: it never passes in silence.
package precheck
