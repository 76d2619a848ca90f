package pgbouncer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// wildcard is the name of the entry for all databases that have none of their own.
const wildcard = "*"

// ownDatabase is the name of PgBouncer's console.
const ownDatabase = "pgbouncer"

// settings asks for all settings.
func (c *console) settings(ctx context.Context) (map[string]string, error) {
	replies, err := c.run(ctx, "SHOW CONFIG")
	if err != nil {
		return nil, fmt.Errorf("read PgBouncer's settings: %w", err)
	}
	if err := refused(replies); err != nil {
		return nil, fmt.Errorf("read PgBouncer's settings: %w", err)
	}
	out := map[string]string{}
	for _, r := range replies[0].records() {
		out[r["key"]] = r["value"]
	}
	return out, nil
}

// version asks for the version, as "1.18.0".
func (c *console) version(ctx context.Context) (string, error) {
	replies, err := c.run(ctx, "SHOW VERSION")
	if err != nil {
		return "", fmt.Errorf("read PgBouncer's version: %w", err)
	}
	if err := refused(replies); err != nil || len(replies[0].rows) == 0 {
		return "", fmt.Errorf("read PgBouncer's version: %w", err)
	}
	return strings.TrimPrefix(replies[0].rows[0][0], "PgBouncer "), nil
}

// standing is what the console says about the whole PgBouncer to one who asks it for a pause.
type standing int

const (
	active     standing = iota
	paused              // PAUSE without a database, or SUSPEND
	notAllowed          // not one of admin_users
)

// probeStanding is a command that every version refuses, and the refusal tells the state: the
// console checks the right first, then whether all is paused, then that its own database cannot be
// (admin.c, admin_cmd_pause). SHOW STATE would tell the state only, and only since 1.19.
const probeStanding = "PAUSE " + ownDatabase

func readStanding(r reply) (standing, error) {
	switch said := fmt.Sprint(r.err); {
	case r.err == nil:
		return active, fmt.Errorf("PgBouncer did something unexpected when asked to pause its console")
	case strings.Contains(said, "admin access needed"):
		return notAllowed, nil
	case alreadyPaused(r.err):
		return paused, nil
	case strings.Contains(said, "cannot pause admin db"):
		return active, nil
	}
	return active, fmt.Errorf("PgBouncer gave an unknown answer when asked for its state: %w", r.err)
}

// alreadyPaused tells whether a PAUSE was refused because all is paused: "already suspended/paused",
// and since 1.26 "already paused" or "already suspended".
func alreadyPaused(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "already paused") || strings.Contains(err.Error(), "already suspended"))
}

// live is one database as PgBouncer serves it now.
type live struct {
	name, host, dbname, poolMode string
	port, connections            int
	paused                       bool
}

const showDatabases = "SHOW DATABASES"

// readDatabases reads SHOW DATABASES, without the console itself.
func readDatabases(r reply) ([]live, error) {
	if r.err != nil {
		return nil, fmt.Errorf("list PgBouncer's databases: %w", r.err)
	}
	var out []live
	for _, row := range r.records() {
		if row["name"] == ownDatabase {
			continue
		}
		out = append(out, live{
			name: row["name"], host: row["host"], dbname: row["database"], poolMode: row["pool_mode"],
			port: atoi(row["port"]), connections: atoi(row["current_connections"]), paused: row["paused"] == "1",
		})
	}
	return out, nil
}

// readPools adds up SHOW POOLS by database.
func readPools(r reply) (map[string]pool, error) {
	if r.err != nil {
		return nil, fmt.Errorf("list PgBouncer's pools: %w", r.err)
	}
	out := map[string]pool{}
	for _, row := range r.records() {
		p := out[row["database"]]
		p.active += atoi(row["cl_active"])
		p.waiting += atoi(row["cl_waiting"])
		p.logins += atoi(row["sv_login"])
		wait := time.Duration(atoi(row["maxwait"]))*time.Second + time.Duration(atoi(row["maxwait_us"]))*time.Microsecond
		p.maxWait = max(p.maxWait, wait)
		if row["pool_mode"] == "session" {
			p.session = true // set for a user, in [users]
		}
		out[row["database"]] = p
	}
	return out, nil
}

type pool struct {
	active, waiting int
	logins          int // connections to the cluster that are being made
	maxWait         time.Duration
	session         bool
}

// readServers reads SHOW SERVERS: the backends of each database's connections.
func readServers(r reply) (map[string][]int, error) {
	if r.err != nil {
		return nil, fmt.Errorf("list PgBouncer's server connections: %w", r.err)
	}
	pids := map[string][]int{}
	for _, row := range r.records() {
		if pid := atoi(row["remote_pid"]); pid != 0 {
			pids[row["database"]] = append(pids[row["database"]], pid)
		}
	}
	return pids, nil
}

// readTransactions joins SHOW SERVERS and SHOW CLIENTS: who holds a server connection, and which.
func readTransactions(servers, clients reply, ours func(database string) bool) []endpoint.Transaction {
	byPointer := map[string]map[string]string{}
	for _, c := range clients.records() {
		byPointer[c["ptr"]] = c
	}
	var out []endpoint.Transaction
	for _, s := range servers.records() {
		if !strings.HasPrefix(s["state"], "active") || !ours(s["database"]) {
			continue
		}
		t := endpoint.Transaction{Database: s["database"], User: s["user"], ServerPID: atoi(s["remote_pid"])}
		if c := byPointer[s["link"]]; c != nil {
			t.User, t.Application = c["user"], c["application_name"]
			t.Client = c["addr"]
			if t.Client != "unix" {
				t.Client = endpoint.Address{Host: c["addr"], Port: atoi(c["port"])}.String()
			}
			t.Since, _ = time.ParseInLocation("2006-01-02 15:04:05 MST", c["request_time"], time.Local)
		}
		out = append(out, t)
	}
	return out
}

// quoteName writes a database's name for the console.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func atoi(s string) int {
	n, _ := strconv.Atoi(s) // an absent column is 0
	return n
}
