package onhost

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint/pgbouncer"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// usersInterval is how soon a new role or password works through an owned PgBouncer.
const usersInterval = 15 * time.Second

// pooled is an instance whose PgBouncer we run: the agent keeps it in step with the cluster's roles.
type pooled struct {
	Cluster  upgrade.Cluster  `json:"cluster"`
	Endpoint upgrade.Endpoint `json:"endpoint"`
}

func (w *Worker) pooledDir() string { return filepath.Join(w.dir, "endpoints") }

// pooledFile is named by the endpoint's directory, which is named by the instance.
func (w *Worker) pooledFile(e upgrade.Endpoint) string {
	return filepath.Join(w.pooledDir(), filepath.Base(e.Dir)+".json")
}

// rememberEndpoint notes which cluster the roles of an owned PgBouncer come from.
func (w *Worker) rememberEndpoint(cluster upgrade.Cluster, e upgrade.Endpoint) error {
	if !e.Owned {
		return nil
	}
	if err := os.MkdirAll(w.pooledDir(), 0o700); err != nil {
		return fmt.Errorf("make the agent's directory: %w", err)
	}
	name := note(filepath.Base(w.pooledFile(e)))
	return files{dir: w.pooledDir()}.write(name, pooled{Cluster: cluster, Endpoint: e})
}

func (w *Worker) forgetEndpoint(e upgrade.Endpoint) error {
	return files{dir: w.pooledDir()}.remove(note(filepath.Base(w.pooledFile(e))))
}

// KeepUsersFresh gives owned PgBouncers the roles and passwords of their clusters, until ctx ends.
func (w *Worker) KeepUsersFresh(ctx context.Context) {
	told := map[string]string{} // the last failure of each, so that it is logged once
	for sleep(ctx, usersInterval) == nil {
		entries, err := os.ReadDir(w.pooledDir())
		if err != nil {
			continue // there is none
		}
		for _, entry := range entries {
			if !strings.HasSuffix(entry.Name(), ".json") || w.switching() {
				continue
			}
			text := ""
			if err := w.refreshUsers(ctx, filepath.Join(w.pooledDir(), entry.Name())); err != nil && ctx.Err() == nil {
				text = err.Error()
			}
			if text != "" && told[entry.Name()] != text {
				w.log.WarnContext(ctx, "the roles of a PgBouncer are not refreshed", "endpoint", entry.Name(), "error", text)
			}
			told[entry.Name()] = text
		}
	}
}

// switching tells whether a switchover is under way: a RELOAD would undo what it has set.
func (w *Worker) switching() bool {
	entries, err := os.ReadDir(filepath.Join(w.dir, "switchovers"))
	if err != nil {
		return false
	}
	for _, entry := range entries {
		state, err := switchover.OpenJournal(filepath.Join(w.dir, "switchovers", entry.Name()), w.now).Read()
		if err == nil && state.Stage != switchover.StageNone && !state.Stage.Ended() {
			return true
		}
	}
	return false
}

func (w *Worker) refreshUsers(ctx context.Context, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read endpoint: %w", err)
	}
	var p pooled
	if err := json.Unmarshal(content, &p); err != nil {
		return fmt.Errorf("read endpoint %s: %w", file, err)
	}
	user, err := run.LookupUser(p.Cluster.Owner)
	if err != nil {
		return err
	}
	users, err := w.pooledUsers(ctx, p.Cluster)
	if err != nil {
		return err
	}
	own := pgbouncer.Own{
		Dir: p.Endpoint.Dir, UID: user.UID, GID: user.GID, ListenPort: p.Endpoint.Listen.Port, AuthType: p.Endpoint.AuthType,
	}
	_, err = own.RefreshUsers(ctx, users)
	return err
}

// pooledUsers are the roles that may come through a PgBouncer. Whether a role may log in is the
// cluster's to say: a switchover bars them all for a moment, which must not reach PgBouncer.
func (w *Worker) pooledUsers(ctx context.Context, cluster upgrade.Cluster) ([]pgbouncer.User, error) {
	var users []pgbouncer.User
	err := with(ctx, w.host.Login(cluster, "postgres"), func(conn *pgx.Conn) error {
		secrets, err := postgres.RoleSecrets(ctx, conn)
		for _, s := range secrets {
			users = append(users, pgbouncer.User{Name: s.Name, Secret: s.Secret})
		}
		return err
	})
	return users, err
}
