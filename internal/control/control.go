// Package control is the one door to pgleap: every use case, for the API, the pages and the
// command line alike. It decides what may be done now, writes it down, and starts the workflow
// that does it.
package control

import (
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/secret"
)

// Deps are what the use cases stand on.
type Deps struct {
	Catalog  *catalog.Catalog
	Temporal client.Client
	// Converter reads the details of heart-beats; it must be the client's.
	Converter converter.DataConverter
	// Sealer keeps the secrets of access keys.
	Sealer *secret.Key
	// RequestsPerSecond is how many requests an access key may send; 0: any number.
	RequestsPerSecond float64
	// Host is the id of the one host there is, whose agent is asked.
	Host string
	// Server is this server's name for itself, which no other one with the same catalogue has.
	Server string
	Log    *slog.Logger
	// Now is time.Now unless given.
	Now func() time.Time
}

// Control carries out the use cases. Its methods may be called concurrently.
type Control struct {
	catalog   *catalog.Catalog
	temporal  client.Client
	converter converter.DataConverter
	host      string
	server    string
	log       *slog.Logger
	now       func() time.Time
	sealer    *secret.Key
	callers   *callers
	requests  *requests
	throttle  *throttle
	strangers *rate.Limiter
	// installations are those that agents have told of.
	installations *installations
	// endpoints is held while an instance comes or goes together with its endpoint.
	endpoints *semaphore.Weighted
}

// New returns the use cases.
func New(d Deps) *Control {
	c := &Control{
		catalog: d.Catalog, temporal: d.Temporal, converter: d.Converter,
		host: d.Host, server: d.Server, log: d.Log, now: d.Now, sealer: d.Sealer, callers: &callers{},
		throttle:  &throttle{perSecond: d.RequestsPerSecond, limits: map[string]*rate.Limiter{}},
		endpoints: semaphore.NewWeighted(1), installations: &installations{known: map[string]installation{}},
	}
	if c.converter == nil {
		c.converter = converter.GetDefaultDataConverter()
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.requests = newRequests(c.catalog, c.log)
	c.strangers = rate.NewLimiter(strangersPerSecond, strangersAtOnce)
	return c
}
