// Package pgconf reads PostgreSQL's configuration files, translates them
// between major versions, and writes them without losing a comment.
//
// Every file is kept as the text it is: what is not changed comes back byte
// for byte. The grammars are those of the server: guc-file.l for
// postgresql.conf, hba.c (next_token and its callers) for pg_hba.conf and
// pg_ident.conf.
//
//	tree, err := pgconf.LoadTree("/etc/postgresql/15/main/postgresql.conf", pgdata)
//	changes := tree.Translate(pgconf.Versions{Source: 15, Target: 17}, pgconf.Known(names))
//	conf := tree.Inline()
//	err = conf.Set("port", "5433")
//	err = pgconf.WriteFile(root, "postgresql.conf", conf.Bytes(), owner, 0o600)
//
// Errors name a file and a line, never what is written there: a value may be
// a secret, and an include directive may point at a file of somebody else.
package pgconf
