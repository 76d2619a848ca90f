package pgtest

import "maps"

// Option changes how Start makes a cluster.
type Option func(*options)

type options struct {
	config     map[string]string
	hba        string
	initdbArgs []string
	pgdata     string
	superuser  string
	program    string
}

// Config sets parameters in postgresql.conf, over the ones that pgtest chooses.
func Config(parameters map[string]string) Option {
	return func(o *options) { maps.Copy(o.config, parameters) }
}

// HBA replaces the content of pg_hba.conf, which otherwise trusts everybody on this machine.
func HBA(content string) Option {
	return func(o *options) { o.hba = content }
}

// InitdbArgs adds arguments to initdb, after pgtest's own, so that they win.
func InitdbArgs(args ...string) Option {
	return func(o *options) { o.initdbArgs = append(o.initdbArgs, args...) }
}

// Dir is the data directory to make. It must not exist, or be empty, and the cluster's OS user must
// be able to reach it.
func Dir(pgdata string) Option {
	return func(o *options) { o.pgdata = pgdata }
}

// StartedAs names the program that starts the server, otherwise postgres: up to 15 postmaster is a link to it.
func StartedAs(program string) Option {
	return func(o *options) { o.program = program }
}

// Superuser names the bootstrap superuser, otherwise postgres.
func Superuser(name string) Option {
	return func(o *options) { o.superuser = name }
}
