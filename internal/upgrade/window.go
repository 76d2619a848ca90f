package upgrade

import (
	"fmt"
	"regexp"
	"strconv"
)

// Window is the time of day in which an instance may be switched over without asking anybody: its
// maintenance window. One whose end is before its start ends on the next day.
type Window struct {
	Start int `json:"start"` // minutes after midnight, UTC
	End   int `json:"end"`
}

var windowText = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])Z-([01][0-9]|2[0-3]):([0-5][0-9])Z$`)

// ParseWindow reads a window as people and clouds write it, such as "22:00Z-02:00Z".
func ParseWindow(text string) (Window, error) {
	parts := windowText.FindStringSubmatch(text)
	if parts == nil {
		return Window{}, fmt.Errorf("window %q: write it in UTC, as 22:00Z-02:00Z", text)
	}
	minutes := func(hour, minute string) int {
		h, _ := strconv.Atoi(hour)
		m, _ := strconv.Atoi(minute)
		return h*60 + m
	}
	w := Window{Start: minutes(parts[1], parts[2]), End: minutes(parts[3], parts[4])}
	if w.Start == w.End {
		return Window{}, fmt.Errorf("window %q is empty: let it end at another time than it starts", text)
	}
	return w, nil
}

// String returns the window as ParseWindow reads it.
func (w Window) String() string {
	return fmt.Sprintf("%02d:%02dZ-%02d:%02dZ", w.Start/60, w.Start%60, w.End/60, w.End%60)
}
