package huawei

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// object is what an instance_id stands for: an instance, what an upgrade left of one, or nothing.
type object struct {
	given    string
	instance *upgrade.Instance
	revision int64 // of the instance
	former   *control.Former
}

// id is the object's id as pgleap calls it, or what was given when there is no such object.
func (o object) id() string {
	switch {
	case o.instance != nil:
		return o.instance.ID
	case o.former != nil:
		return o.former.ID
	}
	return o.given
}

// vendorID is the form of an instance's id at the vendor, ownID that of pgleap's ids: an instance may be a clone of a clone.
var (
	vendorID = regexp.MustCompile(`^[0-9a-f]{32}` + instanceSuffix + `$`)
	ownID    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}(-(old|clone)-[0-9]{1,10})*$`)
)

// isOwnID tells whether an id can only be one of pgleap's.
func isOwnID(given string) bool { return ownID.MatchString(given) && !vendorID.MatchString(given) }

// instanceOperation is an operation on an instance.
type instanceOperation func(ctx context.Context, c *call, instance upgrade.Instance) (any, error)

// onInstance precedes an operation by finding its instance and asking whether the caller may. The
// permission comes first: without it, what exists looks like what does not.
func (a *api) onInstance(act action, do instanceOperation) operation {
	return func(ctx context.Context, c *call) (any, error) {
		given := c.request.PathValue("instance_id")
		// One of pgleap's own ids is what the policy is about: without a permission nothing is looked up, so that
		// neither time nor failure tells what exists.
		if isOwnID(given) && !a.allows(c, act, given) {
			c.object = given
			return nil, forbidden(act, given)
		}
		o, err := a.find(ctx, given)
		if err != nil {
			return nil, err
		}
		c.object = o.id()
		switch {
		case !a.allows(c, act, o.id()):
			return nil, forbidden(act, o.given)
		case o.former != nil:
			return nil, refuse(codeState, msgFormer, "id", o.given)
		case o.instance == nil:
			return nil, refuse(codeInstanceAbsent, msgInstanceAbsent, "id", o.given)
		}
		c.given, c.revision = o.given, o.revision
		return do(ctx, c, *o.instance)
	}
}

// find looks an id up. It is an error only if it has the form of none.
func (a *api) find(ctx context.Context, given string) (object, error) {
	o := object{given: given}
	if !vendorID.MatchString(given) && !ownID.MatchString(given) {
		return o, refuse(codeInstanceFormat, msgInstanceID)
	}
	instance, revision, err := a.recall(ctx, given)
	if err == nil {
		o.instance, o.revision = &instance, revision
		return o, nil
	}
	if !isAbsent(err) {
		return o, err
	}
	formers, err := a.control.Formers(ctx)
	if err != nil {
		return o, err
	}
	for _, f := range formers {
		if f.ID == given || formerID(f.ID) == given {
			o.former = &f
			break
		}
	}
	return o, nil
}

// recall returns an instance as it is at the revision that is returned with it, from memory if
// nothing has changed since.
func (a *api) recall(ctx context.Context, given string) (upgrade.Instance, int64, error) {
	if instance, known, ok := a.memory.instance(given); ok {
		revision, err := a.control.Revision(ctx, instance.ID)
		if err == nil && revision == known {
			return instance, revision, nil
		}
		if err != nil && !isAbsent(err) {
			return upgrade.Instance{}, 0, err
		}
	}
	found, err := a.lookUp(ctx, given)
	if err != nil {
		return upgrade.Instance{}, 0, err
	}
	revision, err := a.control.Revision(ctx, found.ID)
	if err != nil {
		return upgrade.Instance{}, 0, err
	}
	// Once more, now that the revision is known: it might have been replaced by another one.
	instance, err := a.control.Instance(ctx, found.ID)
	if err == nil && instance.UUID != found.UUID {
		err = &upgrade.NotFound{Kind: "instance", Name: given}
	}
	if err == nil {
		a.memory.learn(given, instance, revision)
	}
	return instance, revision, err
}

func (a *api) lookUp(ctx context.Context, given string) (upgrade.Instance, error) {
	if vendorID.MatchString(given) {
		instance, err := a.control.InstanceByUUID(ctx, strings.TrimSuffix(given, instanceSuffix))
		if !isAbsent(err) {
			return instance, err
		}
	}
	return a.control.Instance(ctx, given)
}

func isAbsent(err error) bool {
	_, absent := errors.AsType[*upgrade.NotFound](err)
	return absent
}

// idOf is an instance's id at this API.
func idOf(instance upgrade.Instance) string { return instance.UUID + instanceSuffix }
