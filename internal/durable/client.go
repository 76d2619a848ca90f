package durable

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"github.com/pgleap/pgleap/internal/secret"
)

// Options say which engine to talk to, and how.
type Options struct {
	// Address is host:port of Temporal's frontend.
	Address string
	// Namespace is Namespace unless the user's own Temporal cluster has another for pgleap.
	Namespace string
	// TLS is the client side of the connection. The embedded engine refuses to talk without
	// (see Keys.ClientTLS); only a user's own cluster may be without TLS.
	TLS *tls.Config
	// Key encrypts every payload and every failure before it leaves this process. The server
	// and all agents must have the same.
	Key *secret.Key
	// Logger gets what the SDK has to say from warn on. Code in workflows and activities that
	// logs through the SDK's own loggers is subject to the same filter.
	Logger *slog.Logger
}

// Dial connects to the engine and fails when it does not answer.
func Dial(ctx context.Context, o Options) (client.Client, error) {
	if o.Key == nil {
		return nil, errors.New("dial engine: no payload key: workflow histories would hold secrets in clear")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Namespace == "" {
		o.Namespace = Namespace
	}
	converter := NewDataConverter(o.Key)
	c, err := client.DialContext(ctx, client.Options{
		HostPort:         o.Address,
		Namespace:        o.Namespace,
		Logger:           sdkLogger(o.Logger),
		DataConverter:    converter,
		FailureConverter: NewFailureConverter(converter),
		ConnectionOptions: client.ConnectionOptions{
			TLS: o.TLS, TLSDisabled: o.TLS == nil,
			DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(patientHeartbeats(heartbeatPatience))},
		},
		// These heart-beats of whole workers only feed Temporal's own pages, and would cost
		// an idle embedded engine a write every minute and worker.
		WorkerHeartbeatInterval: -1,
	})
	if err != nil {
		return nil, fmt.Errorf("dial engine at %s, namespace %q: %w", o.Address, o.Namespace, err)
	}
	return c, nil
}
