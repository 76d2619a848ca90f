package cli

import (
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

func TestSwitchoverRequest(t *testing.T) {
	const refused = -1
	for _, test := range []struct {
		verb    string
		timeout time.Duration
		given   bool
		seconds int32
	}{
		{"switch", 0, false, 0},
		{"interrupt", 0, false, 0},
		{"cancel", 0, false, 0},
		{"switch", 10 * time.Second, true, 10},
		{"switch", 90 * time.Second, true, 90},
		{"switch", time.Hour, true, 3600},
		{"switch", 0, true, refused},
		{"switch", 9 * time.Second, true, refused},
		{"switch", 10500 * time.Millisecond, true, refused},
		{"switch", time.Hour + time.Second, true, refused},
		{"switch", 1<<32*time.Second + 10*time.Second, true, refused},
		{"switch", -30 * time.Second, true, refused},
		{"interrupt", 30 * time.Second, true, refused},
		{"cancel", 30 * time.Second, true, refused},
		{"jump", 0, false, refused},
	} {
		request, err := switchoverRequest(test.verb, test.timeout, test.given)
		want := client.SwitchoverRequest{Verb: client.SwitchoverRequestVerb(test.verb), TimeoutSeconds: test.seconds}
		if test.seconds == refused && err == nil || test.seconds != refused && (err != nil || request != want) {
			t.Errorf("%s, %s: got %+v (%v)", test.verb, test.timeout, request, err)
		}
	}
}
