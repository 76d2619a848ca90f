package control

import (
	"context"
	"sync"
	"time"

	"github.com/pgleap/pgleap/internal/authz"
)

// Caller is the access key that a request says it was signed with.
type Caller struct {
	KeyID       string
	Account     string
	Description string
	Secret      string
	Disabled    bool
	Policy      authz.Policy
}

// Actor is the caller for the record.
func (k Caller) Actor(requestID string) Actor {
	return Actor{Name: "access key " + k.KeyID, RequestID: requestID}
}

// callerTTL is how long what is known of an access key is believed: so soon does every server know
// that a key was disabled through another one. This one knows at once.
const callerTTL = time.Second

// callers remembers the access keys that call, opened and parsed.
type callers struct {
	mu    sync.RWMutex
	known map[string]knownCaller
	open  time.Time // until then it is known that there is an access key
}

type knownCaller struct {
	caller Caller
	until  time.Time
}

func (r *callers) get(id string, now time.Time) (Caller, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.known[id]
	return k.caller, ok && now.Before(k.until)
}

func (r *callers) put(caller Caller, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]knownCaller{}
	}
	r.known[caller.KeyID] = knownCaller{caller, until}
}

func (r *callers) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, id)
	r.open = time.Time{}
}

// Caller returns the access key with an id, with its secret, or upgrade.NotFound.
func (c *Control) Caller(ctx context.Context, id string) (Caller, error) {
	now := c.now()
	if caller, ok := c.callers.get(id, now); ok {
		return caller, nil
	}
	recorded, err := c.catalog.AccessKey(ctx, id)
	if err != nil {
		return Caller{}, ofRecord(err)
	}
	key, err := accessKey(recorded)
	if err != nil {
		return Caller{}, err
	}
	secret, err := c.unseal(id, recorded.Secret)
	if err != nil {
		return Caller{}, err
	}
	caller := Caller{
		KeyID: key.ID, Account: key.Account, Description: key.Description,
		Secret: secret, Disabled: key.Disabled, Policy: key.Policy,
	}
	c.callers.put(caller, now.Add(callerTTL))
	return caller, nil
}

// HasAccessKeys tells whether there is a key that is not disabled: without one, the vendors' APIs
// are closed.
func (c *Control) HasAccessKeys(ctx context.Context) (bool, error) {
	now := c.now()
	c.callers.mu.RLock()
	open := now.Before(c.callers.open)
	c.callers.mu.RUnlock()
	if open {
		return true, nil
	}
	keys, err := c.catalog.AccessKeys(ctx)
	if err != nil {
		return false, ofRecord(err)
	}
	for _, k := range keys {
		if !k.Disabled {
			c.callers.mu.Lock()
			c.callers.open = now.Add(callerTTL)
			c.callers.mu.Unlock()
			return true, nil
		}
	}
	return false, nil
}
