package native

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
)

// ListFormers implements StrictServerInterface.
func (a *api) ListFormers(ctx context.Context, _ ListFormersRequestObject) (ListFormersResponseObject, error) {
	formers, err := a.control.Formers(ctx)
	if err != nil {
		return nil, err
	}
	answer := make([]Former, 0, len(formers))
	for _, f := range formers {
		answer = append(answer, wireFormer(f))
	}
	return ListFormers200JSONResponse(answer), nil
}

// GetFormer implements StrictServerInterface.
func (a *api) GetFormer(ctx context.Context, r GetFormerRequestObject) (GetFormerResponseObject, error) {
	former, err := a.control.Former(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return GetFormer200JSONResponse(wireFormer(former)), nil
}

// RetireFormer implements StrictServerInterface.
func (a *api) RetireFormer(ctx context.Context, r RetireFormerRequestObject) (RetireFormerResponseObject, error) {
	if err := a.control.Retire(ctx, actor(ctx), r.Id); err != nil {
		return nil, err
	}
	former, err := a.control.Former(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return RetireFormer200JSONResponse(wireFormer(former)), nil
}

func wireFormer(f control.Former) Former {
	return Former{
		Id: f.ID, Instance: f.Instance, Number: f.Number, Cluster: f.Cluster, Since: f.Since, RetiredAt: f.RetiredAt,
	}
}
