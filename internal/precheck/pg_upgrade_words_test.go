package precheck

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// What the installed pg_upgrade programs can say is in them: each report file and each complaint about a cluster has to
// belong to a check, so that one that a new release adds is noticed here, and not by a user.
func TestEveryWordOfPgUpgradeHasItsCheck(t *testing.T) {
	reportFile := regexp.MustCompile(`[\w%-]+\.txt`)
	complaint := regexp.MustCompile(`(?m)^(?:The (?:source|target) cluster |[Oo]ld and new pg_controldata |new cluster tablespace |Only the install user |"max_).*`)
	unprintable := regexp.MustCompile(`[^\x09\x20-\x7e]+`)
	for _, major := range pgtest.Versions(t) {
		if major == 13 {
			continue // nothing is upgraded to it
		}
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			program, err := os.ReadFile(filepath.Join(pgtest.Bindir(t, major), "pg_upgrade"))
			if err != nil {
				t.Fatal(err)
			}
			said := unprintable.ReplaceAllString(string(program), "\n")
			files, complaints := reportFile.FindAllString(said, -1), complaint.FindAllString(said, -1)
			if len(files) < 5 || len(complaints) < 10 {
				t.Fatalf("these are not all words of pg_upgrade: %q, %q", files, complaints)
			}
			for _, file := range files {
				if _, known := checkOf(All(), PgUpgradeComplaint{File: file}); !known && !slices.Contains(ofSourcesBefore13(), file) {
					t.Errorf("no check has the report file %s", file)
				}
			}
			for _, text := range complaints {
				if _, known := checkOf(All(), PgUpgradeComplaint{Text: text}); !known && !strings.Contains(text, "roles starting with") { // before 9.6
					t.Errorf("no check has the complaint: %s", text)
				}
			}
		})
	}
}

// ofSourcesBefore13 are report files of what a source that pgleap upgrades cannot have; 15 and earlier make some of their
// names from those of types. reg and composite are in others' names.
func ofSourcesBefore13() []string {
	return []string{
		"tables_with_oids.txt", "tables_using_%s.txt", "tables_using_abstime.txt", "tables_using_reltime.txt", "tables_using_tinterval.txt",
		"tables_using_jsonb.txt", "tables_using_line.txt", "tables_using_unknown.txt", "tables_using_sql_identifier.txt",
		"pg_role_prefix.txt", "contrib_isn_and_int8_pass_by_value.txt",
	}
}
