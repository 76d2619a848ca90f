package control

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// SetHooks names the programs that are run around the switch of an instance. An upgrade that runs already
// goes by those that were named when it began.
func (c *Control) SetHooks(ctx context.Context, who Actor, instance string, hooks upgrade.Hooks) (err error) {
	defer func() { c.audit(ctx, who, "set hooks", instance, err) }()
	if err := hooks.Validate(); err != nil {
		return &Invalid{Reason: err.Error(), Cause: upgrade.CauseOption}
	}
	if hooks == (upgrade.Hooks{}) {
		return ofRecord(c.catalog.SetHooks(ctx, instance, nil))
	}
	return ofRecord(c.catalog.SetHooks(ctx, instance, &hooks))
}

// ConfirmBackup takes the user's word that there is a base backup of the version that an instance has.
func (c *Control) ConfirmBackup(ctx context.Context, who Actor, instance string) (err error) {
	defer func() { c.audit(ctx, who, "confirm base backup", instance, err) }()
	return ofRecord(c.catalog.SetBackup(ctx, instance, nil))
}

// RecheckFindings looks again whether what an upgrade has left to be mended still is, and forgets the rest.
// If asked to, it is tried again first.
func (c *Control) RecheckFindings(ctx context.Context, who Actor, instance string, retry bool) (_ upgrade.Instance, err error) {
	if retry {
		defer func() { c.audit(ctx, who, "retry findings", instance, err) }()
	}
	in, err := c.catalog.Instance(ctx, instance)
	if err != nil || len(in.Findings) == 0 {
		return in, ofRecord(err)
	}
	open := []upgrade.OpenFinding{}
	args := step.RecheckFindingsArgs{Cluster: in.Cluster, Findings: in.Findings, Retry: retry}
	if err := c.ask(ctx, in.Cluster.Host, step.RecheckFindings, args, &open); err != nil {
		return in, err
	}
	in.Findings = open
	return in, ofRecord(c.catalog.SetFindings(ctx, instance, open))
}
