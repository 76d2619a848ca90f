package huawei

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// These are the calls of the vendor's identity service that clients make before they come to the
// database service: for a project's id, and for a token.

type projectList struct {
	Projects []project `json:"projects"`
	Links    struct{}  `json:"links"`
}

type project struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	DomainID string `json:"domain_id"`
	Enabled  bool   `json:"enabled"`
}

// projects says which project a region's name stands for: one that is always the same for the
// account. An SDK that was given a region but no project asks.
func (a *api) projects(_ context.Context, c *call) (any, error) {
	name := a.region
	if c.query.Get("name") != "" {
		name = c.query.Get("name")
	}
	if !isProjectName(name) {
		return nil, refuse(codeParameter, msgProjectName)
	}
	p := project{
		ID: projectID(c.caller.Account, name), Name: name, DomainID: derived("domain", c.caller.Account), Enabled: true,
	}
	return projectList{Projects: []project{p}}, nil
}

func projectID(account, name string) string { return derived("project", account+"\n"+name) }

type tokenAnswer struct {
	Token tokenInfo `json:"token"`
}

type tokenInfo struct {
	Catalog   []struct{} `json:"catalog"`
	ExpiresAt string     `json:"expires_at"`
	IssuedAt  string     `json:"issued_at"`
	Methods   []string   `json:"methods"`
	Project   *named     `json:"project,omitempty"`
	Roles     []struct{} `json:"roles"`
	User      tokenUser  `json:"user"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type tokenUser struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain named  `json:"domain"`
}

// iamTime is the form of times of the identity service, which is not that of the database service.
const iamTime = "2006-01-02T15:04:05.000000Z"

// issueToken gives a token to who knows an access key.
func (a *api) issueToken(ctx context.Context, c *call) (any, error) {
	if bad := c.read(); bad != nil {
		return nil, bad
	}
	request, given, bad := decodeTokenRequest(c.body)
	if bad != nil {
		return nil, bad
	}
	if !isKeyID(given.accessKey) {
		return nil, refuse(codeUnauthenticated, msgBadPassword)
	}
	c.who = "access key " + given.accessKey + " (not verified)"
	caller, err := a.keyOf(ctx, given.accessKey)
	if err != nil {
		return nil, err
	}
	want, got := sha256.Sum256([]byte(caller.Secret)), sha256.Sum256([]byte(given.secret))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || caller.Secret == "" {
		return nil, refuse(codeUnauthenticated, msgBadPassword)
	}
	c.is(caller)
	if err := a.control.Admit(caller.KeyID); err != nil {
		return nil, err
	}
	issued := a.now().UTC()
	expires := issued.Add(tokenLife).Truncate(time.Second)
	c.header.Set("X-Subject-Token", newToken(caller.KeyID, caller.Secret, expires))
	answer := tokenInfo{
		Catalog: []struct{}{}, Roles: []struct{}{}, Methods: request.Auth.Identity.Methods,
		IssuedAt: issued.Format(iamTime), ExpiresAt: expires.Format(iamTime),
		User: tokenUser{
			ID: caller.KeyID, Name: caller.KeyID,
			Domain: named{ID: derived("domain", caller.Account), Name: caller.Account},
		},
	}
	if name := request.projectName(); isProjectName(name) {
		answer.Project = &named{ID: projectID(caller.Account, name), Name: name}
	}
	return tokenAnswer{answer}, nil
}
