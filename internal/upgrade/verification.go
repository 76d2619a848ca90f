package upgrade

import (
	"fmt"
	"time"
)

// Verification is what a comparison of all that source and target held came to, in snapshots that
// were taken while both stood still.
type Verification struct {
	// Identical tells that everything was compared that an upgrade carries, and nothing differs.
	Identical bool  `json:"identical"`
	Tables    int   `json:"tables"` // compared
	Rows      int64 `json:"rows"`   // of the source
	Bytes     int64 `json:"bytes"`  // of the source's tables
	// Differences are at most MaxDifferences of Total.
	Differences []Difference `json:"differences,omitempty"`
	Total       int          `json:"total"`
	// NotCompared names what was left out, with the reason.
	NotCompared []string `json:"notCompared,omitempty"`
	// Problem is why it could not be carried out to its end.
	Problem   string    `json:"problem,omitempty"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
}

// MaxDifferences caps Verification.Differences.
const MaxDifferences = 100

// Difference is an object that is not the same on both sides.
type Difference struct {
	Kind     string `json:"kind"` // "rows", "sequence", "large object", or what the catalogs call the object
	Database string `json:"database"`
	Object   string `json:"object"`
	Detail   string `json:"detail"` // a sentence
	// Keys are those of the first rows that differ, for people; with values, if Options.ShowValues asks for them.
	Keys string `json:"keys,omitempty"`
}

// String is the difference in one line.
func (d Difference) String() string {
	text := fmt.Sprintf("%s, %s %s: %s", d.Database, d.Kind, d.Object, d.Detail)
	if d.Keys != "" {
		text += " (" + d.Keys + ")"
	}
	return text
}

// String tells in a sentence what the verification came to.
func (v Verification) String() string {
	took := v.EndedAt.Sub(v.StartedAt).Round(100 * time.Millisecond)
	read := fmt.Sprintf("%d tables (%d rows, %d MiB) in %s", v.Tables, v.Rows, v.Bytes>>20, took)
	switch {
	case v.Identical:
		return "both sides were identical when they stood still: " + read
	case v.Total > 0:
		text := fmt.Sprintf("both sides differed when they stood still, in %d objects of %s", v.Total, read)
		if len(v.Differences) > 0 {
			// Without keys: they are data, and this goes into logs.
			first := v.Differences[0]
			first.Keys = ""
			text += ": " + first.String()
		}
		return text
	case v.Problem != "":
		return "the verification could not be carried out: " + v.Problem
	default:
		return fmt.Sprintf("nothing differed in %s, but %d objects were not compared: %s", read, len(v.NotCompared), v.NotCompared[0])
	}
}

// Rehearsal is a switchover that was carried out up to, but not including, the move, and what a
// verification came to in the snapshots that it took.
type Rehearsal struct {
	Outcome      Switchover    `json:"outcome"`
	Verification *Verification `json:"verification,omitempty"` // nil while it goes on
	// Earlier is what an earlier rehearsal found different, as long as no later one has found both
	// sides identical.
	Earlier *Verification `json:"earlier,omitempty"`
}

// Passed tells whether a switchover can be expected to succeed, with nothing lost.
func (r Rehearsal) Passed() bool {
	return r.Outcome.Rehearsed && r.Verification != nil && r.Verification.Identical
}

// Unproven says why a rehearsal has not passed, and what the user can do if another one may not pass either.
func (r Rehearsal) Unproven() string {
	const unproven = "the rehearsal did not prove that nothing is lost"
	v := r.Verification
	if v == nil || v.Identical || v.Total > 0 || v.Problem != "" || len(v.NotCompared) == 0 {
		return unproven
	}
	return fmt.Sprintf("%s: nothing differed, but %d objects were not compared, and will not be by another rehearsal if an hour is too short for them; "+
		"if this is proof enough, ask for the switchover, or upgrade with --skip-rehearsal", unproven, len(v.NotCompared))
}

// Difference returns the verification that found the target not to be the same as the source, this
// rehearsal's or an earlier one's, unless this one has found both sides identical; nil: there is none.
func (r Rehearsal) Difference() *Verification {
	switch v := r.Verification; {
	case v != nil && v.Total > 0:
		return v
	case v != nil && v.Identical:
		return nil
	}
	return r.Earlier
}
