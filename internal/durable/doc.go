// Package durable is how pgleap talks to Temporal: the client with its encrypting data
// converter, the task queues, the worker settings, and the keys of the engine's mutual TLS.
//
// It knows nothing of what is executed; that is upgrade/flow (workflows) and work (activities).
// The embedded engine is the package embedded below this one, and nothing here needs it: an
// agent links the SDK only.
package durable
