package aliyun

import (
	"github.com/pgleap/pgleap/internal/authz"
	"github.com/pgleap/pgleap/internal/control"
)

// denial tells a caller what the policy of the key does not allow.
type denial struct {
	AuthAction               string `json:"AuthAction"`
	AuthPrincipalType        string `json:"AuthPrincipalType"`
	AuthPrincipalOwnerID     string `json:"AuthPrincipalOwnerId"`
	AuthPrincipalDisplayName string `json:"AuthPrincipalDisplayName"`
	PolicyType               string `json:"PolicyType"`
	NoPermissionType         string `json:"NoPermissionType"`
	EncodedDiagnosticMessage string `json:"EncodedDiagnosticMessage"`
}

// authorize asks the policy of the caller's key. It comes before anything is looked up: what the
// caller may not see is refused alike whether it exists or not.
func (a *api) authorize(x *exchange) error {
	decision := a.decide(x, a.resources(x)...)
	if decision == authz.Allowed {
		return nil
	}
	e := fail("Forbidden.RAM", "")
	e.denied = &denial{
		AuthAction: x.action.permission(), AuthPrincipalType: "SubUser",
		AuthPrincipalOwnerID: x.caller.Account, AuthPrincipalDisplayName: displayName(x.caller),
		PolicyType: "AccountLevelIdentityBasedPolicy", NoPermissionType: decision.String(),
	}
	return e
}

// decide asks the policy about the operation on an object of these names.
func (a *api) decide(x *exchange, resources ...string) authz.Decision {
	return x.caller.Policy.Decide(authz.Request{
		Action:    x.action.permission(),
		Resources: resources,
		Context:   authz.Conditions(x.http.RemoteAddr, x.at, x.http.TLS != nil),
	})
}

// permission is what policies call the operation.
func (a *action) permission() string { return "rds:" + a.name }

// arn is what policies call an instance.
func (a *api) arn(x *exchange, id string) string {
	return authz.InstanceARN(a.options.Region, x.caller.Account, id)
}

// resources returns the names under which the object of a call may be granted.
func (a *api) resources(x *exchange) []string {
	var names []string
	id := x.objectID()
	if x.action.unscoped {
		names = append(names, "*")
		if id == "" {
			return names
		}
	}
	return append(names, a.arn(x, id))
}

func displayName(caller control.Caller) string {
	if caller.Description != "" {
		return caller.Description
	}
	return caller.KeyID
}
