package port

import "testing"

// Nobody is given a port that somebody has, though nobody listens on it, until it is released.
func TestReserve(t *testing.T) {
	port, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	if port < first || port >= last || port%spread != 0 {
		t.Errorf("port %d", port)
	}
	if again, err := claim(port); err == nil {
		again()
		t.Errorf("port %d can be claimed twice", port)
	}
	release()
	again, err := claim(port)
	if err != nil {
		t.Fatalf("a port that was released: %v", err)
	}
	again()
}
