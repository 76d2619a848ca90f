package upgrade

import (
	"slices"
	"time"
)

// ReportValidity is how long a report can be used, unless what it saw changes.
const ReportValidity = 7 * 24 * time.Hour

// Severity is what a finding means for an upgrade.
type Severity string

// A blocker stops the upgrade; a warning needs a DBA's eye; an info is good to know.
const (
	Blocker Severity = "blocker"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Finding is one thing that a check found.
type Finding struct {
	Check    string   `json:"check"` // id of the check, such as "replica-identity"
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	// Objects are what was found, schema-qualified and led by the database, at most MaxObjects of Total.
	// Of what the user may accept those come first that he has not.
	Objects []string `json:"objects,omitempty"`
	// Notes say of each of the objects, in their order, what there is to say of it, where that is not part of its name.
	// There are none, or as many as objects.
	Notes  []string `json:"notes,omitempty"`
	Total  int      `json:"total"`
	Why    string   `json:"why"`
	Remedy string   `json:"remedy"`
	// RemedySQL is ready to run, each statement in the database named before the colon, if one exists.
	RemedySQL []RemedySQL `json:"remedySQL,omitempty"`
	// Acceptable tells whether the user may accept the objects by name (Options.Accepted).
	Acceptable bool `json:"acceptable,omitempty"`
	// Accepted tells that the user accepted every object, which makes a blocker a warning.
	Accepted bool `json:"accepted,omitempty"`
}

// Described are the objects, each with what there is to say of it.
func (f Finding) Described() []string {
	described := slices.Clone(f.Objects)
	for i, note := range f.Notes {
		if i < len(described) && note != "" {
			described[i] += " (" + note + ")"
		}
	}
	return described
}

// RemedySQL is a statement and the database it is to be run in.
type RemedySQL struct {
	Database string `json:"database"`
	SQL      string `json:"sql"`
}

// MaxObjects caps Finding.Objects.
const MaxObjects = 100

// Report is the result of a precheck of an instance for a target version and a mode.
type Report struct {
	Number      int64      `json:"number"`
	ID          string     `json:"id"` // UUID
	Instance    string     `json:"instance"`
	Mode        Mode       `json:"mode"`
	Source      VersionNum `json:"source"`
	Target      VersionNum `json:"target"`
	Fingerprint string     `json:"fingerprint"` // sum of what the checks saw
	Findings    []Finding  `json:"findings"`
	// NotChecked names checks that could not be carried out, each with the reason.
	NotChecked []string `json:"notChecked,omitempty"`
	// Configuration is missing if it could not be compared.
	Configuration *Configuration `json:"configuration,omitempty"`
	// Estimate is what the upgrade will need.
	Estimate   *Estimate `json:"estimate,omitempty"`
	CheckedAt  time.Time `json:"checkedAt"`
	ValidUntil time.Time `json:"validUntil"`
	// Parts are what the fingerprint sums up, to tell what has changed since. They are kept with the report,
	// and not shown.
	Parts PackedParts `json:"parts,omitempty"`
}

// Passed tells whether nothing stands in the way of an upgrade.
func (r Report) Passed() bool {
	return len(r.NotChecked) == 0 && len(r.Blockers()) == 0
}

// Blockers are the findings that stand in the way.
func (r Report) Blockers() []Finding {
	var blockers []Finding
	for _, f := range r.Findings {
		if f.Severity == Blocker {
			blockers = append(blockers, f)
		}
	}
	return blockers
}

// Seen is the fingerprint of what the checks saw.
func (r Report) Seen() Fingerprint { return Fingerprint{Sum: r.Fingerprint, Parts: r.Parts} }
