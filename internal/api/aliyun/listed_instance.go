package aliyun

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// listed is what the vendor calls an instance: one of pgleap's, or the former cluster of one,
// which an upgrade has left behind.
type listed struct {
	id          string
	version     upgrade.VersionNum
	address     upgrade.Address // where clients connect
	endpoint    bool            // the address is that of a PgBouncer
	created     time.Time
	window      *upgrade.Window
	status      string
	description string
	lockReason  string // empty: it is not locked
}

func (a *api) listedInstance(in upgrade.Instance, state control.InstanceState) listed {
	l := listed{
		id: in.ID, version: in.Cluster.Version, created: in.CreatedAt, window: in.Window,
		status:  instanceStatus(state),
		address: a.clusterAddress(in.Cluster),
	}
	if in.Endpoint.Driver != "" {
		l.address, l.endpoint = a.control.Reached(in.Cluster.Host, in.Endpoint.Listen), true
	}
	return l
}

func (a *api) listedFormer(f control.Former) listed {
	return listed{
		id: f.ID, version: f.Cluster.Version, created: f.Since, status: statusRunning,
		address:     a.clusterAddress(f.Cluster),
		description: fmt.Sprintf("Source of upgrade %d of instance %s", f.Number, f.Instance),
		lockReason: fmt.Sprintf("Upgrade %d moved instance %s away from it: applications cannot log in, and it is kept until it is deleted",
			f.Number, f.Instance),
	}
}

// clusterAddress is where clients reach a cluster itself.
func (a *api) clusterAddress(c upgrade.Cluster) upgrade.Address {
	return a.control.Reached(c.Host, upgrade.Address{Host: upgrade.Loopback, Port: c.Port})
}

// listedByID finds one instance or former cluster. One that was retired is gone.
func (a *api) listedByID(ctx context.Context, id string) (listed, error) {
	instance, err := a.control.Instance(ctx, id)
	if err == nil {
		state, err := a.control.InstanceState(ctx, id)
		return a.listedInstance(instance, state), fromRecord(err)
	}
	if !isNotFound(err) {
		return listed{}, fromRecord(err)
	}
	former, unknown := a.control.Former(ctx, id)
	if isNotFound(unknown) {
		if clone, ok := a.cloneInTheMaking(ctx, id); ok {
			return clone, nil
		}
		return listed{}, err
	}
	if unknown != nil {
		return listed{}, fromRecord(unknown)
	}
	if former.RetiredAt != nil {
		return listed{}, fail("InvalidDBInstanceName.NotFound", fmt.Sprintf("Instance %s was released at %s.", id, second(*former.RetiredAt)))
	}
	return a.listedFormer(former), nil
}

// cloneInTheMaking is a clone whose upgrade runs: it is no instance yet, and clients wait for it.
func (a *api) cloneInTheMaking(ctx context.Context, id string) (listed, bool) {
	instance, number, ok := upgrade.ParseCloneID(id)
	if !ok {
		return listed{}, false
	}
	task, err := a.control.Task(ctx, number)
	if err != nil || task.Instance != instance || task.Status.Ended() {
		return listed{}, false
	}
	return a.listedClone(task)
}

// listedClone is the clone that a running upgrade makes, if it does.
func (a *api) listedClone(task upgrade.Task) (listed, bool) {
	if task.Plan == nil || !task.Plan.Options.CloneOnly {
		return listed{}, false
	}
	return listed{
		id: upgrade.CloneID(task.Instance, task.Number), version: task.Plan.Target.Version, created: task.StartedAt, status: statusCreating,
		address:     a.clusterAddress(task.Plan.Target),
		description: fmt.Sprintf("Clone that upgrade %d makes of instance %s", task.Number, task.Instance),
	}, true
}

// What is the same for all instances: they are on a host of pgleap's, on its disks, and nobody pays for them.
const (
	engine       = "PostgreSQL"
	payType      = "Postpaid"
	networkType  = "VPC"
	localStorage = "local_ssd"
)

func (l listed) engineVersion() string { return majorText(l.version.Major()) }

func (l listed) port() string { return strconv.Itoa(l.address.Port) }

func (l listed) lockMode() string {
	if l.lockReason != "" {
		return "ManualLock"
	}
	return "Unlock"
}

// second writes a time as the vendor does where it is not in milliseconds.
func second(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }
