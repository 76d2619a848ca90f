package control

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Former is what an instance was made of before an upgrade: fenced, and kept until it is retired.
type Former struct {
	ID        string // such as "orders-old-7"
	Instance  string
	Number    int64 // of the upgrade
	Cluster   upgrade.Cluster
	Since     time.Time
	RetiredAt *time.Time
}

const formerMark = "-old-"

// FormerID is the id of the former cluster that an upgrade leaves of an instance.
func FormerID(instance string, upgrade int64) string {
	return instance + formerMark + strconv.FormatInt(upgrade, 10)
}

func former(f catalog.FormerCluster) Former {
	return Former{
		ID:       FormerID(f.Instance, f.Number),
		Instance: f.Instance, Number: f.Number, Cluster: f.Cluster, Since: f.Since, RetiredAt: f.RetiredAt,
	}
}

// Formers returns all former clusters, retired ones too, by the upgrade's number.
func (c *Control) Formers(ctx context.Context) ([]Former, error) {
	recorded, err := c.catalog.FormerClusters(ctx)
	if err != nil {
		return nil, err
	}
	formers := make([]Former, 0, len(recorded))
	for _, f := range recorded {
		formers = append(formers, former(f))
	}
	return formers, nil
}

// Former returns a former cluster by its id, or *upgrade.NotFound.
func (c *Control) Former(ctx context.Context, id string) (Former, error) {
	unknown := &upgrade.NotFound{Kind: "former cluster", Name: id}
	mark := strings.LastIndex(id, formerMark)
	if mark < 0 {
		return Former{}, unknown
	}
	number, err := strconv.ParseInt(id[mark+len(formerMark):], 10, 32)
	if err != nil {
		return Former{}, unknown
	}
	recorded, err := c.catalog.FormerCluster(ctx, number)
	if err != nil {
		return Former{}, err
	}
	if f := former(recorded); f.ID == id {
		return f, nil
	}
	return Former{}, unknown
}

// Release does as Retire does, for those who cannot say `finish`: a way back to the former cluster is given up.
func (c *Control) Release(ctx context.Context, who Actor, id string) error {
	f, err := c.Former(ctx, id)
	if err != nil {
		return err
	}
	task, err := c.catalog.Task(ctx, f.Number)
	if err != nil {
		return err
	}
	if task.AwaitsFinish() {
		return c.finishFor(ctx, who, task)
	}
	return c.Retire(ctx, who, id)
}

// finishFor finishes an upgrade, and retires its source: that very one, whatever instance goes by its number.
func (c *Control) finishFor(ctx context.Context, who Actor, task upgrade.Task) (err error) {
	defer func() { c.audit(ctx, who, "finish", strconv.FormatInt(task.Number, 10), err) }()
	_, err = c.sayTo(ctx, task, VerbFinish, step.FinishRequest{Retire: true})
	return err
}

// Retire stops a former cluster for good. Its data stay where they are: removing them is left to
// whoever can tell that they are not needed.
func (c *Control) Retire(ctx context.Context, who Actor, id string) (err error) {
	defer func() { c.audit(ctx, who, "retire", id, err) }()
	f, err := c.Former(ctx, id)
	if err != nil {
		return err
	}
	if f.RetiredAt != nil {
		return &Conflict{Reason: id + " was retired already", Cause: upgrade.CauseRetired}
	}
	task, err := c.catalog.Task(ctx, f.Number)
	if err != nil {
		return err
	}
	if !task.Status.Ended() {
		remedy := "wait until it has"
		if task.AwaitsFinish() {
			remedy = "give its way back up: pgleap finish " + f.Instance + " --retire"
		}
		return &Conflict{
			Reason: fmt.Sprintf("upgrade %d, whose source %s is, has not ended", f.Number, id),
			Remedy: remedy, Cause: upgrade.CauseRunning,
		}
	}
	instances, err := c.catalog.Instances(ctx)
	if err != nil {
		return err
	}
	if serving := instanceOf(instances, f.Cluster); serving != "" {
		return &Conflict{Reason: fmt.Sprintf("%s is instance %s now, which serves", f.Cluster, serving), Cause: upgrade.CauseServing}
	}
	if err := c.ask(ctx, f.Cluster.Host, step.RetireCluster, f.Cluster, nil); err != nil {
		return err
	}
	return c.catalog.RetireFormerCluster(ctx, f.Number, c.now())
}
