package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// FormerCluster is the source of an upgrade that has switched over: fenced, and kept.
type FormerCluster struct {
	Number    int64 // of the upgrade
	Instance  string
	Cluster   upgrade.Cluster
	Since     time.Time
	RetiredAt *time.Time
}

const insertFormerCluster = `
INSERT INTO former_cluster (number, instance, cluster, since, retired_at)
VALUES ($1, $2, $3, $4, NULL)
ON CONFLICT (number) DO NOTHING`

// AddFormerCluster records what an instance was made of before an upgrade. The first word counts.
func (c *Catalog) AddFormerCluster(ctx context.Context, f FormerCluster) error {
	err := c.change(ctx, func(tx *sql.Tx) error {
		if _, err := lockTask(ctx, tx, f.Number); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, insertFormerCluster, f.Number, f.Instance, document{f.Cluster}, instant{&f.Since})
		return err
	})
	return inTask(err, "add former cluster of", f.Number)
}

const selectFormerClusters = `
  SELECT number, instance, cluster, since, retired_at
    FROM former_cluster
ORDER BY number`

// FormerClusters returns all of them, retired ones too, by the upgrade's number.
func (c *Catalog) FormerClusters(ctx context.Context) ([]FormerCluster, error) {
	all, err := collect(ctx, c.read, scanFormerCluster, selectFormerClusters)
	if err != nil {
		return nil, fmt.Errorf("read former clusters: %w", err)
	}
	return all, nil
}

const selectFormerCluster = `
SELECT number, instance, cluster, since, retired_at
  FROM former_cluster
 WHERE number = $1`

// FormerCluster returns the source of an upgrade that has switched over, or upgrade.NotFound.
func (c *Catalog) FormerCluster(ctx context.Context, number int64) (FormerCluster, error) {
	f, err := scanFormerCluster(c.read.QueryRowContext(ctx, selectFormerCluster, number))
	return found(f, err, "former cluster of upgrade", strconv.FormatInt(number, 10))
}

const retireFormerCluster = `
UPDATE former_cluster
   SET retired_at = $2
 WHERE number = $1 AND retired_at IS NULL`

// RetireFormerCluster records that it was stopped for good.
func (c *Catalog) RetireFormerCluster(ctx context.Context, number int64, at time.Time) error {
	if _, err := c.write.ExecContext(ctx, retireFormerCluster, number, instant{&at}); err != nil {
		return fmt.Errorf("retire former cluster of upgrade %d: %w", number, err)
	}
	return nil
}

const deleteFormerCluster = `
DELETE FROM former_cluster
 WHERE number = $1`

// RemoveFormerCluster forgets the former cluster of an upgrade: its instance is made of it again.
func (c *Catalog) RemoveFormerCluster(ctx context.Context, number int64) error {
	if _, err := c.write.ExecContext(ctx, deleteFormerCluster, number); err != nil {
		return fmt.Errorf("remove former cluster of upgrade %d: %w", number, err)
	}
	return nil
}

func scanFormerCluster(r row) (FormerCluster, error) {
	var f FormerCluster
	var retired sql.Null[int64]
	err := r.Scan(&f.Number, &f.Instance, document{&f.Cluster}, instant{&f.Since}, &retired)
	f.RetiredAt = moment(retired)
	return f, err
}
