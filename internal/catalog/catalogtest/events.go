package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func events(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	event := func(text string) upgrade.Event {
		return upgrade.Event{At: kept, Level: upgrade.LevelWarning, Phase: upgrade.PhaseUpgrade, Text: text}
	}
	log := func(t *testing.T, c *catalog.Catalog, number, after int64, limit int) []catalog.NumberedEvent {
		t.Helper()
		got, err := c.Events(t.Context(), number, after, limit)
		must(t, err)
		return got
	}

	t.Run("are numbered within their task", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, aPrecheck("orders"))
		created(t, c, anUpgrade("orders"))
		must(t, c.AppendEvents(t.Context(), 1, "a", []upgrade.Event{event("one"), event("two")}))
		must(t, c.AppendEvents(t.Context(), 2, "a", []upgrade.Event{event("other")}))
		must(t, c.AppendEvents(t.Context(), 1, "b", []upgrade.Event{event("three")}))
		must(t, c.AppendEvents(t.Context(), 1, "c", nil))

		want := []catalog.NumberedEvent{{Seq: 1, Event: event("one")}, {Seq: 2, Event: event("two")}, {Seq: 3, Event: event("three")}}
		same(t, "log", log(t, c, 1, 0, 0), want)
		same(t, "log of the other", log(t, c, 2, 0, 0), []catalog.NumberedEvent{{Seq: 1, Event: event("other")}})
		same(t, "what follows", log(t, c, 1, 1, 0), want[1:])
		same(t, "a part", log(t, c, 1, 1, 1), want[1:2])
		same(t, "nothing new", log(t, c, 1, 3, 10), nil)
		same(t, "log of no task", log(t, c, 9, 0, 0), nil)
	})

	t.Run("count once when they are written twice", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, anUpgrade("orders"))
		for range 2 {
			must(t, c.AppendEvents(t.Context(), 1, "a", []upgrade.Event{event("one"), event("two")}))
		}
		must(t, c.AppendEvents(t.Context(), 1, "a", []upgrade.Event{event("one, told differently")}))
		same(t, "number of events", len(log(t, c, 1, 0, 0)), 2)
	})

	t.Run("may come after the end of the task", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, anUpgrade("orders"))
		ended(t, c, 1, upgrade.StatusSucceeded)
		must(t, c.AppendEvents(t.Context(), 1, "a", []upgrade.Event{event("source kept, fenced")}))
		same(t, "number of events", len(log(t, c, 1, 0, 0)), 1)
	})

	t.Run("may hold whatever a program wrote", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, anUpgrade("orders"))
		must(t, c.AppendEvents(t.Context(), 1, "a", []upgrade.Event{event("gr\xfcn \x00 'quoted' $1 ☃")}))
		same(t, "text", log(t, c, 1, 0, 0)[0].Text, "gr\uFFFDn \uFFFD 'quoted' $1 ☃")
	})

	t.Run("belong to a task and a batch", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		missing(t, c.AppendEvents(t.Context(), 1, "a", []upgrade.Event{event("lost")}), "task")
		created(t, c, anUpgrade("orders"))
		if err := c.AppendEvents(t.Context(), 1, "", []upgrade.Event{event("lost")}); err == nil {
			t.Error("events without a key were taken")
		}
	})
}
