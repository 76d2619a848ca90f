package control

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// instanceID is what an id may look like: part of file names, of URLs and of PgBouncer's log.
var instanceID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

const maxInstanceID = 63

// reservedIDs are words that stand where an id stands in the API's paths.
var reservedIDs = []string{"discover"}

// checkInstanceID tells whether an id that a user chose will do.
func checkInstanceID(id string) error {
	if !instanceID.MatchString(id) {
		return &Invalid{
			Reason: fmt.Sprintf("%q cannot be an instance's id", id),
			Remedy: "choose 1 to 63 lower-case letters, digits and hyphens, the first not a hyphen",
		}
	}
	if isNumber(id) { // older instances may have such an id
		return &Invalid{Reason: fmt.Sprintf("%q is a number: it cannot be told from a task's", id), Remedy: "choose an id with a letter in it"}
	}
	if slices.Contains(reservedIDs, id) {
		return &Invalid{Reason: fmt.Sprintf("the id %q is reserved", id), Remedy: "choose another"}
	}
	return nil
}

// deriveInstanceID names an instance after its cluster: by postgresql-common's name, or the last
// telling part of its data directory; with the port when the name is taken.
func deriveInstanceID(cluster upgrade.Cluster, taken func(string) bool) string {
	id := slug(cluster.Name)
	for dir := filepath.Clean(cluster.Pgdata); id == "" && dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		if base := filepath.Base(dir); telling(base) {
			id = slug(base)
		}
	}
	switch {
	case id == "":
		id = "postgres"
	case isNumber(id):
		id = "postgres-" + id[:min(len(id), maxInstanceID-len("postgres-"))]
	}
	if taken(id) || slices.Contains(reservedIDs, id) {
		suffix := "-" + strconv.Itoa(cluster.Port)
		id = id[:min(len(id), maxInstanceID-len(suffix))] + suffix
	}
	return id
}

// telling tells names from what every data directory is called: "data", or the version, which
// an upgrade changes.
func telling(name string) bool {
	_, err := strconv.ParseFloat(name, 64)
	return err != nil && !slices.Contains([]string{"data", "pgdata"}, name)
}

// isNumber tells whether an id is made of digits only.
func isNumber(id string) bool { return id != "" && strings.Trim(id, "0123456789") == "" }

// slug makes a valid id of a name, or nothing.
func slug(name string) string {
	keep := func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return r
		}
		return '-'
	}
	id := strings.Trim(strings.Map(keep, strings.ToLower(name)), "-")
	return strings.Trim(id[:min(len(id), maxInstanceID)], "-")
}
