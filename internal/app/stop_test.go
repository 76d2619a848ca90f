package app

import (
	"testing"
	"time"
)

// What does not end keeps the server from ending no longer than it may, and what it would have left in order stays
// as it is: the lock on the state directory above all.
func TestStopIsBounded(t *testing.T) {
	stuck, unlocked := make(chan struct{}), make(chan struct{})
	s := &Server{log: testLog(t), closers: []func(){func() { close(unlocked) }, func() { <-stuck }}}
	s.stopWithin(time.Millisecond)
	select {
	case <-unlocked:
		t.Error("the directory was unlocked while something went on in it")
	default:
	}
	close(stuck)
	<-unlocked
	s = &Server{log: testLog(t), closers: []func(){func() { s = nil }}}
	s.stopWithin(time.Hour)
	if s != nil {
		t.Error("it has not stopped")
	}
}
