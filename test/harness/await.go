package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Await polls a condition until it holds. When the time is over it fails with what the condition said last.
func Await(ctx context.Context, limit time.Duration, what string, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begun := time.Now()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if final, ok := errors.AsType[*finalError](err); ok {
			return fmt.Errorf("wait for %s: %w", what, final.error)
		}
		if last == nil || ctx.Err() == nil { // what the deadline itself caused tells nothing
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w", time.Since(begun).Round(time.Second), what, last)
		case <-ticker.C:
		}
	}
}

// finalError ends an Await at once: what is waited for cannot come any more.
type finalError struct{ error }

// Final makes an error that ends an Await.
func Final(err error) error { return &finalError{err} }
