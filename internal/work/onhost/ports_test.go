package onhost

import "testing"

// A port that is to last is free, and none of those that connections to elsewhere are given.
func TestLastingPort(t *testing.T) {
	for range 20 {
		port, err := lastingPort()
		if err != nil {
			t.Fatal(err)
		}
		if port < 1024 || port >= 32768 {
			t.Errorf("port %d", port)
		}
	}
}
