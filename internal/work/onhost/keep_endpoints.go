package onhost

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint/pgbouncer"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// keepInterval is how soon a new role or password works through an owned PgBouncer.
const keepInterval = 15 * time.Second

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

// KeepEndpoints keeps owned PgBouncers running, after a boot for example, and in step with the roles
// and passwords of their clusters, until ctx ends.
func (w *Worker) KeepEndpoints(ctx context.Context) {
	k := keeper{Worker: w, told: map[string]string{}, down: map[string]bool{}}
	for first := true; first || sleep(ctx, keepInterval) == nil; first = false {
		files, err := filepath.Glob(filepath.Join(w.pooledDir(), "*.json"))
		if err != nil {
			return // only a malformed pattern is an error
		}
		for _, file := range files {
			k.tell(ctx, file, k.keep(ctx, file, first))
		}
	}
}

// keeper is what KeepEndpoints remembers from one round to the next.
type keeper struct {
	*Worker
	told map[string]string // the last failure of each, so that it is logged once
	down map[string]bool   // seen down in the last round
}

func (k *keeper) tell(ctx context.Context, file string, err error) {
	text := ""
	if err != nil && ctx.Err() == nil {
		text = err.Error()
	}
	if text != "" && k.told[file] != text {
		k.log.WarnContext(ctx, "a PgBouncer is not as it should be", "endpoint", filepath.Base(file), "error", text)
	}
	k.told[file] = text
}

// keep looks after one PgBouncer. One that is down is started when it is still down a round later:
// somebody may be restarting it.
func (k *keeper) keep(ctx context.Context, file string, first bool) error {
	var p pooled
	content, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(content, &p)
	}
	if err != nil {
		return fmt.Errorf("read endpoint %s: %w", file, err)
	}
	own, err := k.own(p)
	if err != nil {
		return err
	}
	status, err := own.Status(ctx)
	if status.PID != 0 {
		k.down[file] = false
		if err != nil || k.switching() || k.upgradingInPlace() {
			return err
		}
		return k.refreshUsers(ctx, own, p.Cluster)
	}
	if !first && !k.down[file] {
		k.down[file] = true
		return nil
	}
	k.log.WarnContext(ctx, "PgBouncer is down; it is started", "endpoint", p.Endpoint.Dir)
	return own.Start(ctx)
}

// own is the PgBouncer of an endpoint.
func (w *Worker) own(p pooled) (pgbouncer.Own, error) {
	binary, err := run.LookPath("pgbouncer")
	if err != nil {
		return pgbouncer.Own{}, err
	}
	user, err := run.LookupUser(p.Cluster.Owner)
	if err != nil {
		return pgbouncer.Own{}, err
	}
	return pgbouncer.Own{
		Dir: p.Endpoint.Dir, UID: user.UID, GID: user.GID, Binary: binary, Starter: starter{w.runner, user},
		ListenAddress: "127.0.0.1", ListenPort: p.Endpoint.Listen.Port,
		AuthType: p.Endpoint.AuthType, DefaultPoolSize: p.Endpoint.PoolSize,
	}, nil
}

// switching tells whether a switchover is under way: a RELOAD would undo what it has set.
func (w *Worker) switching() bool {
	journals, err := w.journals("*")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(journals, func(j *switchover.Journal) bool {
		state, err := j.Read()
		return err == nil && state.Stage != switchover.StageNone && !state.Stage.Ended()
	})
}

func (w *Worker) refreshUsers(ctx context.Context, own pgbouncer.Own, cluster upgrade.Cluster) error {
	users, err := w.pooledUsers(ctx, cluster)
	if err != nil {
		return err
	}
	return w.reloadUsers(ctx, own, users)
}

// reloadPatience bounds how long a PgBouncer that does not answer keeps switchovers from beginning.
const reloadPatience = 5 * time.Second

// reloadUsers looks once more whether nobody switches, and lets nobody begin before the RELOAD is over: in the midst of a
// pause it would put back the time-outs that waiting clients are kept from.
func (w *Worker) reloadUsers(ctx context.Context, own pgbouncer.Own, users []pgbouncer.User) error {
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	return w.whileNoneBegins(ctx, func() error {
		if w.switching() || w.upgradingInPlace() {
			return nil // the next round does it
		}
		_, err := own.RefreshUsers(ctx, users)
		return err
	})
}

// whileNoneBegins does something while no switchover and no outage writes its first line: both do that with
// the same lock, which whoever dies gives back.
func (w *Worker) whileNoneBegins(ctx context.Context, do func() error) error {
	if err := os.MkdirAll(w.journalDir(), 0o700); err != nil {
		return fmt.Errorf("make the agent's directory: %w", err)
	}
	return switchover.OpenJournal(filepath.Join(w.journalDir(), "any"), w.now).Exclusively(ctx, do)
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
