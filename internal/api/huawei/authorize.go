package huawei

import "github.com/pgleap/pgleap/internal/authz"

// action is what policies allow or deny, under any of the names that the vendor has for it.
type action []string

// Reading, and the inspection, which changes nothing, are one action; the upgrade is another.
// Answers name the first name.
var (
	actionList   = action{"rds:instance:listAll", "rds:instance:list"}
	actionUpdate = action{"rds:instance:update", "rds:instance:modify"}
)

// everyInstance stands for all instances in a resource name.
const everyInstance = "*"

// allows tells whether the caller's policy allows an action on an instance.
func (a *api) allows(c *call, act action, instance string) bool {
	return authz.Allowed == c.caller.Policy.Decide(authz.Request{
		Action: act[0], Aliases: act[1:],
		Resources: []string{authz.InstanceARN(a.region, c.caller.Account, instance)},
		Context:   authz.Conditions(c.request.RemoteAddr, a.now(), c.request.TLS != nil),
	})
}

// forbidden is the answer to who may not. It names the object as the caller did, so that it does
// not tell what exists.
func forbidden(act action, given string) *failure {
	return refuse(codeForbidden, msgForbidden, "action", act[0], "object", printable(given))
}
