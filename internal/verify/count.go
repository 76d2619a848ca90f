package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Pair is a database with a snapshot open on each side.
type Pair struct {
	Database       string
	Source, Target *pgx.Conn
}

// maxCountedBytes is the size up to which a table is counted: clients have gone on by then, and
// the target's disk is theirs.
const maxCountedBytes = 1 << 30

// Counts compares the number of rows of every table in both snapshots, until the time is up.
// Tables that are too large, and those that the time did not reach, are counted as skipped.
func Counts(ctx context.Context, pairs []Pair, limit time.Duration) upgrade.Comparison {
	var result upgrade.Comparison
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, pair := range pairs {
		tables, err := postgres.TableSizes(ctx, pair.Source)
		if err != nil {
			result.Problem = err.Error()
			return result
		}
		for _, table := range tables {
			if table.Bytes > maxCountedBytes || ctx.Err() != nil {
				result.Skipped++
				continue
			}
			if err := countTable(ctx, pair, table.Name, &result); err != nil {
				if ctx.Err() == nil {
					result.Problem = err.Error()
					return result
				}
				result.Skipped++
			}
		}
	}
	return result
}

func countTable(ctx context.Context, pair Pair, table string, result *upgrade.Comparison) error {
	source, err := postgres.CountRows(ctx, pair.Source, table)
	if err != nil {
		return err
	}
	target, err := postgres.CountRows(ctx, pair.Target, table)
	if err != nil {
		return err
	}
	result.Tables++
	result.Rows += source
	if source != target {
		result.Different = append(result.Different,
			fmt.Sprintf("%s.%s: %d rows on the source, %d on the target", pair.Database, table, source, target))
	}
	return nil
}
