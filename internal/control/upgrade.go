package control

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Upgrade starts an upgrade and returns its task. It begins with a precheck, always: that is
// light, and what a report saw days ago may have changed unseen.
func (c *Control) Upgrade(ctx context.Context, who Actor, req UpgradeRequest) (_ upgrade.Task, err error) {
	defer func() { c.audit(ctx, who, "upgrade", req.Instance, err) }()
	if err := req.validate(); err != nil {
		return upgrade.Task{}, err
	}
	plan, err := c.plan(ctx, req)
	if err != nil {
		return upgrade.Task{}, err
	}
	if plan.Endpoint.Driver == "" && movesClients(plan) {
		return upgrade.Task{}, &upgrade.Refused{
			Reason: fmt.Sprintf("instance %s has no endpoint: nothing could move its clients", plan.Instance),
			Remedy: "remove it and add it again with --pgbouncer own or --pgbouncer adopt",
			Cause:  upgrade.CauseNoEndpoint,
		}
	}
	if err := c.refuseOwnCluster(ctx, plan); err != nil {
		return upgrade.Task{}, err
	}
	last, err := c.worthOfReport(ctx, plan)
	if err != nil {
		return upgrade.Task{}, err
	}
	notes := []string{last.note}
	if req.RequireReport {
		if !last.allows() {
			return upgrade.Task{}, notAllowed(plan, last)
		}
		plan.Options.Accepted = last.accepted
		notes = append(notes, last.inherited()...)
	}
	return c.start(ctx, who, upgrade.TaskUpgrade, plan, notes...)
}

// refuseOwnCluster refuses to upgrade the cluster that the catalogue is in: it would be down or fenced just when
// is to be noted what becomes of it. A clone leaves it as it is.
func (c *Control) refuseOwnCluster(ctx context.Context, plan upgrade.Plan) error {
	if plan.Options.CloneOnly {
		return nil
	}
	own, err := c.catalog.SystemIdentifier(ctx)
	if err != nil {
		return ofRecord(err)
	}
	if own == "" || own != plan.Source.SystemIdentifier {
		return nil
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("pgleap's own catalogue is in instance %s: its system identifier is the same", plan.Instance),
		Remedy: "move the catalogue to another cluster, or leave --catalog out, then upgrade",
		Cause:  upgrade.CauseServing,
	}
}

// movesClients tells whether clients end elsewhere than they were. An instance that is upgraded in place
// keeps its address.
func movesClients(plan upgrade.Plan) bool {
	return plan.Mode != upgrade.InPlace && !plan.Options.CloneOnly
}
