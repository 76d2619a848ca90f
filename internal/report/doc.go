// Package report writes what a precheck found: for a terminal, as Markdown, as an HTML page to send
// around, as JSON for programs, and as the texts of both clouds' APIs. It only writes: what is in a
// report is decided by the checks.
package report
