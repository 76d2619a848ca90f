// Package postgres holds what pgleap asks of PostgreSQL over SQL, one file per thing.
package postgres
