package native

import "context"

// SetHooks implements StrictServerInterface.
func (a *api) SetHooks(ctx context.Context, r SetHooksRequestObject) (SetHooksResponseObject, error) {
	if err := a.control.SetHooks(ctx, actor(ctx), r.Id, *r.Body); err != nil {
		return nil, err
	}
	instance, err := a.control.Instance(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return SetHooks200JSONResponse(instance), nil
}

// ConfirmBaseBackup implements StrictServerInterface.
func (a *api) ConfirmBaseBackup(ctx context.Context, r ConfirmBaseBackupRequestObject) (ConfirmBaseBackupResponseObject, error) {
	if err := a.control.ConfirmBackup(ctx, actor(ctx), r.Id); err != nil {
		return nil, err
	}
	instance, err := a.control.Instance(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return ConfirmBaseBackup200JSONResponse(instance), nil
}

// RecheckFindings implements StrictServerInterface.
func (a *api) RecheckFindings(ctx context.Context, r RecheckFindingsRequestObject) (RecheckFindingsResponseObject, error) {
	instance, err := a.control.RecheckFindings(ctx, actor(ctx), r.Id, r.Params.Retry)
	if err != nil {
		return nil, err
	}
	return RecheckFindings200JSONResponse(instance), nil
}
