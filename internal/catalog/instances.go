package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

const insertInstance = `
INSERT INTO instance (id, host, pgdata, cluster, endpoint, created_at, uuid, maintenance, hooks, backup, findings, changes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING`

// AddInstance records a new instance, and gives it a UUID unless it has one. It refuses an id, and a
// data directory of a host, that another instance has, and a cluster between which and another one an upgrade leads
// clients: its instance is to be recorded there.
func (c *Catalog) AddInstance(ctx context.Context, in upgrade.Instance) error {
	if in.UUID == "" {
		in.UUID = newUUID()
	}
	err := c.change(ctx, func(tx *sql.Tx) error {
		if err := addInstance(ctx, tx, in); err != nil {
			return err
		}
		return refuseUpgraded(ctx, tx, in)
	})
	if err != nil {
		return fmt.Errorf("add instance %q: %w", in.ID, err)
	}
	return nil
}

func addInstance(ctx context.Context, tx *sql.Tx, in upgrade.Instance) error {
	n, err := changed(tx.ExecContext(ctx, insertInstance, in.ID, in.Cluster.Host, pgdata(in),
		document{in.Cluster}, document{in.Endpoint}, instant{&in.CreatedAt}, in.UUID, document{in.Window},
		document{in.Hooks}, document{in.Backup}, document{in.Findings}, firstRevision()))
	if err != nil || n == 1 {
		return err
	}
	return refuseDuplicate(ctx, tx, in)
}

func refuseUpgraded(ctx context.Context, tx *sql.Tx, in upgrade.Instance) error {
	running, err := collect(ctx, tx, scanTask, selectRunningTasks, upgrade.TaskUpgrade)
	if err != nil {
		return fmt.Errorf("look for running upgrades: %w", err)
	}
	for _, t := range running {
		if t.Plan != nil && t.Plan.Involves(in.Cluster) {
			return &upgrade.Refused{
				Reason: fmt.Sprintf("%s belongs to upgrade %d of instance %q, which is running", pgdata(in), t.Number, t.Instance),
				Remedy: "wait until it has ended: then it is that instance, or free",
				Cause:  upgrade.CauseRunning,
			}
		}
	}
	return nil
}

// firstRevision is greater than every revision of a former instance with the same id: what somebody
// remembers of that one must not pass for this one's. A change takes more than a microsecond.
func firstRevision() int64 { return time.Now().UnixMicro() }

// pgdata is the data directory as it is compared: one directory, one spelling.
func pgdata(in upgrade.Instance) string { return filepath.Clean(in.Cluster.Pgdata) }

const selectInstanceLike = `
  SELECT id
    FROM instance
   WHERE id = $1 OR (host = $2 AND pgdata = $3)
ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END
   LIMIT 1`

func refuseDuplicate(ctx context.Context, tx *sql.Tx, in upgrade.Instance) error {
	var id string
	err := tx.QueryRowContext(ctx, selectInstanceLike, in.ID, in.Cluster.Host, pgdata(in)).Scan(&id)
	if err != nil {
		return err
	}
	if id == in.ID {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("there is an instance %q already", id),
			Remedy: "choose another id, or remove that one: pgleap instance remove " + id,
		}
	}
	return refuseCluster(in, id)
}

func refuseCluster(in upgrade.Instance, id string) error {
	return &upgrade.Refused{
		Reason: fmt.Sprintf("%s is the cluster of instance %q already", pgdata(in), id),
		Remedy: "use that instance, or remove it: pgleap instance remove " + id,
	}
}

const updateInstance = `
UPDATE instance
   SET host = $2, pgdata = $3, cluster = $4, endpoint = $5, backup = $6, findings = $7, changes = changes + 1
 WHERE id = $1`

const selectOtherOfCluster = `
SELECT id
  FROM instance
 WHERE host = $2 AND pgdata = $3 AND id <> $1`

// UpdateInstance records the cluster and the endpoint that an instance has now, and what is left to do about
// them. Repeating it changes nothing.
func (c *Catalog) UpdateInstance(ctx context.Context, in upgrade.Instance) error {
	err := c.change(ctx, func(tx *sql.Tx) error {
		if err := lockInstance(ctx, tx, in.ID); err != nil {
			return err
		}
		var other string
		err := tx.QueryRowContext(ctx, selectOtherOfCluster, in.ID, in.Cluster.Host, pgdata(in)).Scan(&other)
		if err == nil {
			return refuseCluster(in, other)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = tx.ExecContext(ctx, updateInstance, in.ID, in.Cluster.Host, pgdata(in),
			document{in.Cluster}, document{in.Endpoint}, document{in.Backup}, document{in.Findings})
		return err
	})
	if err != nil {
		return fmt.Errorf("update instance %q: %w", in.ID, err)
	}
	return nil
}

const lockOfInstance = `
UPDATE instance
   SET host = host
 WHERE id = $1`

// lockInstance keeps others from changing an instance, and from starting a task of it, until tx
// has ended.
func lockInstance(ctx context.Context, tx *sql.Tx, id string) error {
	n, err := changed(tx.ExecContext(ctx, lockOfInstance, id))
	if err != nil {
		return err
	}
	if n == 0 {
		return &upgrade.NotFound{Kind: "instance", Name: id}
	}
	return nil
}

const instanceColumns = `id, cluster, endpoint, created_at, uuid, maintenance, hooks, backup, findings`

const selectInstance = `
SELECT ` + instanceColumns + `
  FROM instance
 WHERE id = $1`

// Instance returns an instance, or upgrade.NotFound.
func (c *Catalog) Instance(ctx context.Context, id string) (upgrade.Instance, error) {
	in, err := scanInstance(c.read.QueryRowContext(ctx, selectInstance, legible(id)))
	return found(in, err, "instance", id)
}

const selectInstanceByUUID = `
SELECT ` + instanceColumns + `
  FROM instance
 WHERE uuid = $1`

// InstanceByUUID returns the instance with a UUID, or upgrade.NotFound.
func (c *Catalog) InstanceByUUID(ctx context.Context, uuid string) (upgrade.Instance, error) {
	in, err := scanInstance(c.read.QueryRowContext(ctx, selectInstanceByUUID, legible(uuid)))
	return found(in, err, "instance", uuid)
}

const selectRevision = `
SELECT changes
  FROM instance
 WHERE id = $1`

// Revision returns a number that grows with everything that is recorded of an instance: its tasks,
// their logs and its reports, too.
func (c *Catalog) Revision(ctx context.Context, id string) (int64, error) {
	if revision, known := c.revisions.get(id); known {
		return revision, nil
	}
	changes, quiet := c.revisions.now()
	revision, err := c.readRevision(ctx, id)
	if err == nil && quiet {
		c.revisions.put(id, revision, changes)
	}
	return found(revision, err, "instance", id)
}

func (c *Catalog) readRevision(ctx context.Context, id string) (revision int64, err error) {
	if c.writers != nil {
		return c.readers.get(ctx, c, legible(id))
	}
	query, err := c.prepared(ctx, c.read, selectRevision)
	if err != nil {
		return 0, err
	}
	err = query.QueryRowContext(ctx, legible(id)).Scan(&revision)
	return revision, err
}

const updateWindow = `
UPDATE instance
   SET maintenance = $2, changes = changes + 1
 WHERE id = $1`

// SetWindow records the maintenance window of an instance; nil: it has none.
func (c *Catalog) SetWindow(ctx context.Context, id string, window *upgrade.Window) error {
	return c.setOfInstance(ctx, id, "window", updateWindow, document{window})
}

const (
	updateHooks = `
UPDATE instance
   SET hooks = $2, changes = changes + 1
 WHERE id = $1`

	updateBackup = `
UPDATE instance
   SET backup = $2, changes = changes + 1
 WHERE id = $1`

	updateFindings = `
UPDATE instance
   SET findings = $2, changes = changes + 1
 WHERE id = $1`
)

// SetHooks records what is run around the switch of an instance; nil: nothing.
func (c *Catalog) SetHooks(ctx context.Context, id string, hooks *upgrade.Hooks) error {
	return c.setOfInstance(ctx, id, "hooks", updateHooks, document{hooks})
}

// SetBackup records the base backup that an instance lacks; nil: none.
func (c *Catalog) SetBackup(ctx context.Context, id string, missing *upgrade.MissingBackup) error {
	return c.setOfInstance(ctx, id, "missing base backup", updateBackup, document{missing})
}

// SetFindings records what is open of an instance.
func (c *Catalog) SetFindings(ctx context.Context, id string, open []upgrade.OpenFinding) error {
	return c.setOfInstance(ctx, id, "findings", updateFindings, document{open})
}

func (c *Catalog) setOfInstance(ctx context.Context, id, what, query string, value any) error {
	err := c.change(ctx, func(tx *sql.Tx) error {
		n, err := changed(tx.ExecContext(ctx, query, legible(id), value))
		if err == nil && n == 0 {
			err = &upgrade.NotFound{Kind: "instance", Name: id}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("set %s of instance %q: %w", what, id, err)
	}
	return nil
}

const selectInstances = `
SELECT ` + instanceColumns + `
  FROM instance`

// Instances returns all instances by id.
func (c *Catalog) Instances(ctx context.Context) ([]upgrade.Instance, error) {
	all, err := collect(ctx, c.read, scanInstance, selectInstances)
	if err != nil {
		return nil, fmt.Errorf("read instances: %w", err)
	}
	// Not in SQL: there the order depends on the database's collation.
	slices.SortFunc(all, func(a, b upgrade.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

func scanInstance(r row) (upgrade.Instance, error) {
	var in upgrade.Instance
	err := r.Scan(&in.ID, document{&in.Cluster}, document{&in.Endpoint}, instant{&in.CreatedAt}, &in.UUID, document{&in.Window},
		document{&in.Hooks}, document{&in.Backup}, document{&in.Findings})
	return in, err
}

const (
	deleteInstance = `
DELETE FROM instance
 WHERE id = $1`

	// An instance that gets the same id later is another one.
	retireReports = `
UPDATE report
   SET retired = 1
 WHERE instance = $1`
)

// RemoveInstance forgets an instance. Its tasks and reports stay in the record, but no report of
// it allows an upgrade any more. While a task of it runs, it is refused.
func (c *Catalog) RemoveInstance(ctx context.Context, id string) error {
	err := c.change(ctx, func(tx *sql.Tx) error {
		if err := lockInstance(ctx, tx, id); err != nil {
			return err
		}
		if err := refuseWhileRunning(ctx, tx, id, anyKind); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, retireReports, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, deleteInstance, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove instance %q: %w", id, err)
	}
	return nil
}
