// Package pgbouncer switches an endpoint that is a PgBouncer, one of its own (Own) or one that
// exists already (Adopt). It works with PgBouncer 1.15 and later.
//
// PgBouncer holds clients with PAUSE, is sent elsewhere by its configuration file and RELOAD, and
// lets clients go with RESUME. What makes it quick is that nothing else happens in between: console
// connections are open, and the new file lies ready under another name in the same directory.
package pgbouncer
