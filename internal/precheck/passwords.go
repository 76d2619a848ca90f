package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// md5Passwords: they come over and work up to 19; 18 warns when one is set, 19 at each login
// (release notes 18 and 19).
var md5Passwords = Check{
	ID: "md5-passwords", Title: "Roles have passwords that are hashed with MD5",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerCluster,
	Why: "Such a password comes over and works as before. But it is weak, from 18 on its use is deprecated, 19 warns at each login, and a later version will not take it. " +
		"pg_hba.conf must go on allowing md5 for it: scram-sha-256 does not accept it.",
	Remedy: "Have each password set again, with \\password in psql and password_encryption = scram-sha-256. Clients and poolers must know SCRAM.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		found, err := s.query(ctx, `
			SELECT quote_ident(rolname), NULL, NULL FROM pg_authid WHERE rolpassword LIKE 'md5%' AND rolcanlogin ORDER BY 1`)
		for i := range found {
			if f.Plan.Target.Version.Major() >= 19 { // each login is told, and clients may not expect that
				found[i].Severity = upgrade.Warning
			}
		}
		return found, err
	},
}

// radius: 19 does not have the method any more (release notes 19); a server does not load a
// pg_hba.conf with a line that it does not understand (hba.c, load_hba).
var radius = Check{
	ID: "radius", Title: "pg_hba.conf uses RADIUS, which the target does not have",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster, Versions: Versions{Targets: 19},
	Why:    "Version 19 has removed the authentication by RADIUS. With such a line in pg_hba.conf the target does not start.",
	Remedy: "Let these clients log in another way, such as LDAP, OAuth, GSSAPI or SCRAM, and remove the line.",
	Find: query(`
		SELECT format('pg_hba.conf, line %s', line_number), concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address), NULL
		FROM pg_hba_file_rules
		WHERE auth_method = 'radius'
		ORDER BY line_number`),
}
