package aliyun

import (
	"net"
	"net/http"
	"time"

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
	name := "rds:" + x.action.name
	decision := x.caller.Policy.Decide(authz.Request{
		Action:    name,
		Resources: a.resources(x),
		Context: map[string][]string{
			"acs:SourceIp":        {remoteAddress(x.http)},
			"acs:CurrentTime":     {x.at.UTC().Format(time.RFC3339)},
			"acs:SecureTransport": {secure(x.http)},
		},
	})
	if decision == authz.Allowed {
		return nil
	}
	e := fail("Forbidden.RAM", "")
	e.denied = &denial{
		AuthAction: name, AuthPrincipalType: "SubUser",
		AuthPrincipalOwnerID: x.caller.Account, AuthPrincipalDisplayName: displayName(x.caller),
		PolicyType: "AccountLevelIdentityBasedPolicy", NoPermissionType: decision.String(),
	}
	return e
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
	return append(names, "acs:rds:"+a.options.Region+":"+x.caller.Account+":dbinstance/"+id)
}

func displayName(caller control.Caller) string {
	if caller.Description != "" {
		return caller.Description
	}
	return caller.KeyID
}

// remoteAddress is the address that the request came from. No header can claim another one.
func remoteAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func secure(r *http.Request) string {
	if r.TLS != nil {
		return "true"
	}
	return "false"
}
