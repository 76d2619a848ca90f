package durable

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	sdklog "go.temporal.io/sdk/log"
)

func TestSDKLogsFromWarnOn(t *testing.T) {
	var out bytes.Buffer
	l := sdkLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	l.Debug("d")
	l.Info("i")
	sdklog.With(l, "queue", "server").Info("i with")
	l.Warn("w", "a", 1)
	sdklog.With(l, "queue", "server").Error("e")
	got := strings.TrimSpace(out.String())
	lines := strings.Split(got, "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "msg=w component=temporal-sdk a=1") ||
		!strings.Contains(lines[1], "msg=e component=temporal-sdk queue=server") {
		t.Errorf("logged:\n%s", got)
	}
}
