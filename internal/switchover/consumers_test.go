package switchover

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// stream is a target that follows a source, and what consumers read on both sides.
type stream struct {
	*testing.T
	source, target *pgtest.Cluster
	from, to       *pgx.Conn // superusers in database app
	last           int       // the number of the last transaction
}

// newStream lets the target follow the source in database app. What is in the scripts is run on the
// source first.
func newStream(t *testing.T, from, to int, scripts ...string) *stream {
	t.Helper()
	s := &stream{T: t}
	s.source, s.target = pgtest.Pair(t, from, to, pgtest.Config(map[string]string{"max_prepared_transactions": "5"}))
	for _, c := range []*pgtest.Cluster{s.source, s.target} {
		c.CreateDatabase(t, "app")
		c.Exec(t, "app", `CREATE TABLE entry (id int PRIMARY KEY)`, `CREATE PUBLICATION entries FOR TABLE entry`)
	}
	s.source.Exec(t, "app", scripts...)
	s.target.Exec(t, "app", fmt.Sprintf(`
		CREATE SUBSCRIPTION follow CONNECTION 'host=127.0.0.1 port=%d user=postgres dbname=app' PUBLICATION entries
		WITH (slot_name = 'pgleap_1', copy_data = false, synchronous_commit = off)`, s.source.Port))
	s.from, s.to = s.source.Connect(t, "app"), s.target.Connect(t, "app")
	return s
}

// sessions is what the section gives to prepareConsumers.
func (s *stream) sessions(database string) *pgx.Conn {
	switch database {
	case "app":
		return s.to
	case "postgres":
		return s.target.Connect(s, "postgres")
	}
	return nil
}

func (s *stream) prepare(accepted ...string) ([]upgrade.ConsumerSlot, error) {
	return prepareConsumers(s.Context(), s.source.Connect(s, "postgres"), s.sessions, accepted, nil)
}

func (s *stream) login() postgres.Login {
	return postgres.Login{Address: upgrade.Address{Host: "127.0.0.1", Port: s.target.Port}, User: "postgres"}
}

// settle wants each slot to get all that it is to have.
func (s *stream) settle(consumers []upgrade.ConsumerSlot) error {
	without, err := settleConsumers(s.Context(), s.login(), consumers, true)
	if len(without) > 0 {
		err = errors.Join(err, fmt.Errorf("without all that they are to have: %q", without))
	}
	return err
}

// write commits transactions on one side.
func (s *stream) write(conn *pgx.Conn, count int) {
	s.Helper()
	for range count {
		s.last++
		_, err := conn.Exec(s.Context(), `INSERT INTO entry VALUES ($1)`, s.last)
		must(s, "write", err)
	}
}

// standStill waits until the target has all, on its disk, and returns where both sides stand.
func (s *stream) standStill() (oldEnd, newStart postgres.LSN) {
	s.Helper()
	await(s, "the target to follow", func() bool { return s.ask(s.to, `SELECT count(*)::text FROM entry`)[0] == strconv.Itoa(s.last) })
	s.ask(s.to, `SELECT pg_replication_origin_progress('pg_' || oid, true)::text FROM pg_subscription`)
	oldEnd, err := postgres.InsertLSN(s.Context(), s.from)
	must(s, "read the source's end", err)
	newStart, err = postgres.FlushLSN(s.Context(), s.to)
	must(s, "read the target's end", err)
	return oldEnd, newStart
}

func (s *stream) ask(conn *pgx.Conn, query string, args ...any) []string {
	s.Helper()
	rows, err := conn.Query(s.Context(), query, args...)
	must(s, query, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(s, query, err)
	return lines
}

// consume reads the numbers of transactions from a slot of test_decoding up to an LSN, or to the end.
func (s *stream) consume(conn *pgx.Conn, slot string, upTo postgres.LSN) []int {
	s.Helper()
	var numbers []int
	for _, line := range s.ask(conn, `SELECT data FROM pg_logical_slot_get_changes($1, $2::text::pg_lsn, NULL)`, slot, lsnOrNull(upTo)) {
		if of := regexp.MustCompile(`entry: INSERT: id\[integer\]:(\d+)`).FindStringSubmatch(line); of != nil {
			number, _ := strconv.Atoi(of[1])
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// consumeBinary does the same with pgoutput.
func (s *stream) consumeBinary(conn *pgx.Conn, slot string, upTo postgres.LSN) []int {
	s.Helper()
	rows, err := conn.Query(s.Context(), `
		SELECT data FROM pg_logical_slot_get_binary_changes($1, $2::text::pg_lsn, NULL, 'proto_version', '1', 'publication_names', 'entries')`,
		slot, lsnOrNull(upTo))
	must(s, "consume", err)
	messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	must(s, "consume", err)
	var numbers []int
	for _, m := range messages {
		if m[0] == 'I' { // relation (4), N, number of columns (2), t, length (4), text
			text := m[13 : 13+binary.BigEndian.Uint32(m[9:13])]
			number, _ := strconv.Atoi(string(text))
			numbers = append(numbers, number)
		}
	}
	return numbers
}

func lsnOrNull(lsn postgres.LSN) *string {
	if lsn == 0 {
		return nil
	}
	text := lsn.String()
	return &text
}

func (s *stream) slots(c *pgtest.Cluster) []string {
	s.Helper()
	conn := c.Connect(s, "postgres")
	defer conn.Close(s.Context())
	return s.ask(conn, `
		SELECT concat_ws(' ', slot_name, plugin, database, CASE WHEN temporary THEN 'temporary' END,
			CASE WHEN to_jsonb(s) ->> 'two_phase' = 'true' THEN 'two_phase' END, CASE WHEN to_jsonb(s) ->> 'failover' = 'true' THEN 'failover' END)
		FROM pg_replication_slots s WHERE slot_name <> 'pgleap_1' ORDER BY 1`)
}

func upTo(last int) []int {
	numbers := make([]int, last)
	for i := range numbers {
		numbers[i] = i + 1
	}
	return numbers
}

// A consumer that reads the old slot to its end and then the new one gets every transaction, once,
// however early it tries the new one.
func TestConsumersGoOn(t *testing.T) {
	t.Parallel()
	versions := pgtest.Versions(t)
	s := newStream(t, versions[0], versions[len(versions)-1],
		`SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`,
		`SELECT pg_create_logical_replication_slot('lake', 'pgoutput')`)
	s.write(s.from, 20)
	old := map[string][]int{"cdc": s.consume(s.from, "cdc", 0), "lake": nil}
	s.write(s.from, 10)
	consumers, err := s.prepare()
	must(t, "prepare", err)
	want := []string{postgres.HeldSlot("cdc") + " test_decoding app", postgres.HeldSlot("lake") + " pgoutput app"}
	slices.Sort(want)
	if diff := cmp.Diff(want, s.slots(s.target)); diff != "" {
		t.Errorf("slots on the target before the switchover (-want +got):\n%s", diff)
	}
	s.write(s.from, 500) // they arrive behind the start of the slots that are held
	oldEnd, newStart := s.standStill()
	must(t, "read", readConsumers(t.Context(), s.from, consumers))
	must(t, "place", placeConsumers(consumers, oldEnd.String(), newStart.String()))
	for _, c := range consumers {
		if c.Behind <= 0 || c.OldEnd != oldEnd.String() || c.NewStart != newStart.String() || c.Confirmed == "" {
			t.Errorf("consumer: %+v", c)
		}
	}
	s.target.Exec(t, "app", `ALTER SUBSCRIPTION follow DISABLE`)
	s.write(s.to, 25) // clients have gone on before the slots are there
	began := time.Now()
	must(t, "settle", s.settle(consumers))
	t.Logf("settled within %s", time.Since(began))
	must(t, "settle again", s.settle(consumers))
	s.write(s.to, 25)
	if diff := cmp.Diff([]string{"cdc test_decoding app", "lake pgoutput app"}, s.slots(s.target)); diff != "" {
		t.Errorf("slots on the target (-want +got):\n%s", diff)
	}
	s.target.Kill(t) // what a slot delivers must not change by a crash
	s.target.Restart(t)
	s.to = s.target.Connect(t, "app")
	cdc := slices.Concat(old["cdc"], s.consume(s.from, "cdc", oldEnd), s.consume(s.to, "cdc", 0))
	lake := slices.Concat(s.consumeBinary(s.from, "lake", oldEnd), s.consumeBinary(s.to, "lake", 0))
	for name, got := range map[string][]int{"cdc": cdc, "lake": lake} {
		if diff := cmp.Diff(upTo(s.last), got); diff != "" {
			t.Errorf("%s read (-want +got):\n%s", name, diff)
		}
	}
}

// Wherever the process died after the commit point, settling goes on from there.
func TestConsumersSettledAfterCrash(t *testing.T) {
	t.Parallel()
	versions := pgtest.Versions(t)
	s := newStream(t, versions[0], versions[len(versions)-1])
	for name, die := range map[string]func(held string, newStart postgres.LSN){
		"before it began": func(string, postgres.LSN) {},
		"before the copy": func(held string, newStart postgres.LSN) {
			s.ask(s.to, `SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)::text`, held, newStart.String())
		},
		"after the copy": func(held string, newStart postgres.LSN) {
			s.ask(s.to, `SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)::text`, held, newStart.String())
			s.ask(s.to, `SELECT pg_copy_logical_replication_slot($1, 'cdc')::text`, held)
		},
		"and the target with it": func(held string, newStart postgres.LSN) {
			s.ask(s.to, `SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)::text`, held, newStart.String())
			s.target.Kill(t)
			s.target.Restart(t)
			s.to = s.target.Connect(t, "app")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.source.Exec(t, "app", `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`)
			consumers, err := s.prepare()
			must(t, "prepare", err)
			s.write(s.from, 5)
			oldEnd, newStart := s.standStill()
			must(t, "read", readConsumers(t.Context(), s.from, consumers))
			must(t, "place", placeConsumers(consumers, oldEnd.String(), newStart.String()))
			die(postgres.HeldSlot("cdc"), newStart)
			first := s.last
			s.write(s.to, 5)
			var both errgroup.Group // whoever finds the journal does the same
			for range 2 {
				both.Go(func() error { return s.settle(consumers) })
			}
			must(t, "settle", both.Wait())
			if diff := cmp.Diff([]string{"cdc test_decoding app"}, s.slots(s.target)); diff != "" {
				t.Errorf("slots on the target (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(upTo(s.last)[first:], s.consume(s.to, "cdc", 0)); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			for _, conn := range []*pgx.Conn{s.from, s.to} {
				s.ask(conn, `SELECT pg_drop_replication_slot('cdc')::text`)
			}
			// The source was not fenced: it holds fewer rows now, and the target follows on.
			s.ask(s.to, `DELETE FROM entry WHERE id > $1 RETURNING id::text`, first)
			s.last = first
		})
	}
}

// Without a commit nothing is left on the target, and an attempt that was cut short is no obstacle.
func TestConsumersDiscarded(t *testing.T) {
	t.Parallel()
	versions := pgtest.Versions(t)
	s := newStream(t, versions[0], versions[len(versions)-1], `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`)
	_, err := s.prepare()
	must(t, "prepare", err)
	consumers, err := s.prepare()
	must(t, "prepare again", err)
	s.source.Exec(t, "app", `SELECT pg_create_logical_replication_slot('new', 'test_decoding')`)
	if err := readConsumers(t.Context(), s.from, consumers); err == nil || !strings.Contains(err.Error(), "slot new was created") {
		t.Errorf("a slot that nobody has prepared: %v", err)
	}
	s.source.Exec(t, "app", `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name IN ('cdc', 'new')`)
	must(t, "read", readConsumers(t.Context(), s.from, consumers))
	if consumers[0].Problem == "" {
		t.Error("a slot that was dropped meanwhile is made again")
	}
	must(t, "discard", discardConsumers(t.Context(), s.login()))
	must(t, "discard again", discardConsumers(t.Context(), s.login()))
	if left := s.slots(s.target); len(left) > 0 {
		t.Errorf("left on the target: %v", left)
	}
}

// What cannot be made on the target is refused with the reason before anybody waits, unless it is
// accepted by name.
func TestConsumersRefused(t *testing.T) {
	t.Parallel()
	versions := pgtest.Versions(t)
	s := newStream(t, versions[0], versions[len(versions)-1], `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`)
	plugin := foreignPlugin(t, s.source)
	s.source.CreateDatabase(t, "aside")
	s.source.Exec(t, "aside", `SELECT pg_create_logical_replication_slot('far', 'test_decoding')`)
	for _, c := range []struct {
		name    string
		source  string // a slot on the source, beside cdc
		target  string // one on the target
		slot    string
		refused string
	}{
		{"a plugin that the target lacks", fmt.Sprintf(`SELECT pg_create_logical_replication_slot('own', '%s')`, plugin), "", "own", "own ("},
		{"a slot of that name for another plugin", "", `SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')`, "cdc", "a slot of that name, for database app and plugin pgoutput"},
		{"a slot of that name that was not read", "", `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`, "cdc", "was not read to its end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, run := range []struct {
				conn *pgx.Conn
				sql  string
			}{{s.from, c.source}, {s.to, c.target}} {
				if run.sql != "" {
					_, err := run.conn.Exec(t.Context(), run.sql)
					must(t, run.sql, err)
				}
			}
			before := s.slots(s.target)
			_, err := s.prepare("logical-slots:far")
			refused, ok := errors.AsType[*upgrade.Refused](err)
			if !ok || !strings.Contains(refused.Reason, c.refused) {
				t.Errorf("got %v, want %q", err, c.refused)
			}
			if diff := cmp.Diff(before, s.slots(s.target)); diff != "" {
				t.Errorf("slots on the target (-before +after):\n%s", diff)
			}
			consumers, err := s.prepare("logical-slots:far", "logical-slots:"+c.slot)
			must(t, "prepare what is accepted", err)
			for _, consumer := range consumers {
				if consumer.Name == "far" && consumer.Problem != "database aside is not replicated" {
					t.Errorf("a slot in a database that is not replicated: %+v", consumer)
				}
			}
			must(t, "discard", discardConsumers(t.Context(), s.login()))
			for _, conn := range []*pgx.Conn{s.from, s.to} {
				s.ask(conn, `SELECT pg_drop_replication_slot(slot_name)::text FROM pg_replication_slots WHERE slot_name IN ('own', $1)`, ifOn(conn == s.to, "cdc"))
			}
		})
	}
}

func ifOn(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}

// foreignPlugin is an output plugin that only the source can load: one that was built for its version.
func foreignPlugin(t *testing.T, c *pgtest.Cluster) string {
	t.Helper()
	var libdir string
	must(t, "find libraries", c.Connect(t, "postgres").QueryRow(t.Context(), `SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'`).Scan(&libdir))
	code, err := os.ReadFile(filepath.Join(libdir, "test_decoding.so"))
	must(t, "read plugin", err)
	path := filepath.Join(c.SocketDir, "own.so")
	must(t, "write plugin", os.WriteFile(path, code, 0o755))
	conn := c.Connect(t, "app")
	allowed := func() string {
		var list *string // minors of August 2026 and later have it
		must(t, "read setting", conn.QueryRow(t.Context(), `SELECT current_setting('output_plugin_libraries', true)`).Scan(&list))
		if list == nil {
			return path
		}
		return *list
	}
	if allowed() != path {
		c.Exec(t, "app", `ALTER SYSTEM SET output_plugin_libraries = 'test_decoding', '`+path+`'`, `SELECT pg_reload_conf()`)
	}
	await(t, "the setting", func() bool { return strings.Contains(allowed(), path) })
	return path
}

// After a switchover there and back, an old slot that was read to its end gives way to the new one.
func TestConsumersComeBack(t *testing.T) {
	t.Parallel()
	versions := pgtest.Versions(t)
	s := newStream(t, versions[0], versions[len(versions)-1], `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`)
	s.target.Exec(t, "app", `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`)
	s.write(s.from, 3)
	s.standStill() // the old slot is the target's, and everything in it was replicated to it
	former := []upgrade.ConsumerSlot{{Name: "cdc", OldEnd: s.ask(s.to, `SELECT pg_current_wal_insert_lsn()::text`)[0]}}
	s.consume(s.to, "cdc", 0)
	consumers, err := prepareConsumers(t.Context(), s.source.Connect(t, "postgres"), s.sessions, nil, former)
	must(t, "prepare", err)
	s.write(s.from, 3)
	oldEnd, newStart := s.standStill()
	must(t, "read", readConsumers(t.Context(), s.from, consumers))
	must(t, "place", placeConsumers(consumers, oldEnd.String(), newStart.String()))
	s.write(s.to, 3)
	var both errgroup.Group
	for range 2 {
		both.Go(func() error { return s.settle(consumers) })
	}
	must(t, "settle", both.Wait())
	if got := slices.Concat(s.consume(s.from, "cdc", oldEnd), s.consume(s.to, "cdc", 0)); !slices.Equal(got, upTo(9)) {
		t.Errorf("read %v", got)
	}
}

// What a copy of a slot does not have is given to it where the version can.
func TestConsumersOfTwoPhaseAndFailover(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	pgtest.Bindir(t, 18)
	s := newStream(t, 17, 18,
		`SELECT pg_create_logical_replication_slot('two', 'test_decoding', false, true, false)`,
		`SELECT pg_create_logical_replication_slot('fail', 'pgoutput', false, false, true)`,
		`SELECT pg_create_logical_replication_slot('both', 'test_decoding', false, true, true)`)
	consumers, err := s.prepare()
	must(t, "prepare", err)
	s.write(s.from, 3)
	oldEnd, newStart := s.standStill()
	must(t, "read", readConsumers(t.Context(), s.from, consumers))
	must(t, "place", placeConsumers(consumers, oldEnd.String(), newStart.String()))
	release := s.takeWalsenders()
	without, err := settleConsumers(t.Context(), s.login(), consumers, false)
	if err == nil || !strings.Contains(err.Error(), "slot fail of database app: ") || len(without) > 0 {
		t.Errorf("without a walsender: %q, %v", without, err)
	}
	release()
	stop := s.readEarly("both") // it has its name
	must(t, "settle", s.settle(consumers))
	stop()
	want := []string{"both test_decoding app two_phase failover", "fail pgoutput app failover", "two test_decoding app two_phase"}
	if diff := cmp.Diff(want, s.slots(s.target)); diff != "" {
		t.Errorf("slots on the target (-want +got):\n%s", diff)
	}
	s.target.Exec(t, "app", `BEGIN; INSERT INTO entry VALUES (4); PREPARE TRANSACTION 'p'`)
	if got := s.consume(s.to, "two", 0); !slices.Equal(got, []int{4}) {
		t.Errorf("read of what is prepared: %v", got)
	}
	s.target.Exec(t, "app", `COMMIT PREPARED 'p'`)
	if got := s.consume(s.to, "two", 0); len(got) > 0 {
		t.Errorf("read once more: %v", got)
	}
	s.lacksFailover()
}

// lacksFailover settles for good what cannot get all that it is to have: it is there, nothing is held for it, and
// that is told until somebody has given it, since the step that told it may have failed.
func (s *stream) lacksFailover() {
	s.Helper()
	must(s, "hold", postgres.HoldSlot(s.Context(), s.to, "late", "test_decoding"))
	from, err := postgres.FlushLSN(s.Context(), s.to)
	must(s, "read where it begins", err)
	settle := func() []string {
		without, err := settleConsumers(s.Context(), s.login(), []upgrade.ConsumerSlot{
			{Name: "late", Database: "app", Plugin: "test_decoding", Failover: true, NewStart: from.String()},
		}, true)
		must(s, "settle for good", err)
		return without
	}
	release := s.takeWalsenders()
	for _, time := range []string{"at first", "again"} {
		if without := settle(); len(without) != 1 || !strings.Contains(without[0], "ALTER_REPLICATION_SLOT late (FAILOVER true)") {
			s.Errorf("told %s: %q", time, without)
		}
		if got := s.slots(s.target); !slices.Contains(got, "late test_decoding app") || len(got) != 4 {
			s.Errorf("slots on the target: %v", got)
		}
	}
	release()
	must(s, "give it", postgres.AlterSlot(s.Context(), s.to, s.login().In("app"), "late", postgres.SlotProperties{Failover: true}))
	if without := settle(); len(without) > 0 {
		s.Errorf("told of what it has: %q", without)
	}
}

// takeWalsenders leaves no walsender of the target to anybody.
func (s *stream) takeWalsenders() (release func()) {
	s.Helper()
	var taken []*pgx.Conn
	for {
		conn, err := postgres.Connect(s.Context(), s.login().In("app").With(map[string]string{"replication": "database"}))
		if err != nil {
			break
		}
		taken = append(taken, conn)
	}
	return func() {
		for _, conn := range taken {
			must(s, "disconnect", conn.Close(s.Context()))
		}
		await(s, "walsenders", func() bool {
			return s.ask(s.to, `SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'walsender'`)[0] == "0"
		})
	}
}

// readEarly has a consumer read a slot of test_decoding, which comes again at once whenever it is sent away.
func (s *stream) readEarly(slot string) (stop func()) {
	s.Helper()
	program := filepath.Join(pgtest.Bindir(s.T, 18), "pg_recvlogical")
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			_ = exec.CommandContext(ctx, program, "--start", "--no-loop", "--slot", slot, "--file", os.DevNull,
				"--dbname", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=app", s.target.Port)).Run()
		}
	})
	stop = func() { cancel(); reading.Wait() }
	s.Cleanup(stop)
	await(s, "the consumer", func() bool {
		return s.ask(s.to, `SELECT active::text FROM pg_replication_slots WHERE slot_name = $1`, slot)[0] == "true"
	})
	return stop
}

func TestTwoPhaseBefore18(t *testing.T) {
	t.Parallel()
	s := newStream(t, 15, 17,
		`SELECT pg_create_logical_replication_slot('two', 'test_decoding', false, true)`,
		`SELECT pg_create_logical_replication_slot('sub', 'pgoutput', false, true)`)
	if _, err := s.prepare(); err == nil || !strings.Contains(err.Error(), "two (two_phase cannot be set before 18); mend") {
		t.Errorf("got %v", err)
	}
	_, err := s.prepare("logical-slots:two")
	must(t, "prepare what is accepted", err)
	must(t, "discard", discardConsumers(t.Context(), s.login()))
}

// A subscriber goes on as docs/change-data-capture.md says: it follows the old side to its end, and then
// the new one. Its own position is of the old side, and would let it pass over what comes first on the new
// one, whose LSNs are smaller here.
func TestSubscriberGoesOn(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	versions := pgtest.Versions(t)
	s := newStream(t, versions[0], versions[len(versions)-1])
	reader := pgtest.Start(t, versions[0])
	reader.CreateDatabase(t, "app")
	reader.Exec(t, "app", `CREATE TABLE entry (id int PRIMARY KEY)`, fmt.Sprintf(`
		CREATE SUBSCRIPTION reader CONNECTION 'host=127.0.0.1 port=%d user=postgres dbname=app' PUBLICATION entries WITH (copy_data = false)`, s.source.Port))
	sub := reader.Connect(t, "app")
	for range 8 { // the source's LSNs get ahead of the target's
		s.ask(s.from, `SELECT pg_switch_wal()::text FROM pg_logical_emit_message(false, 'x', 'y')`)
	}
	s.write(s.from, 10)
	consumers, err := s.prepare()
	must(t, "prepare", err)
	s.write(s.from, 10)
	oldEnd, newStart := s.standStill()
	if newStart >= oldEnd {
		t.Fatalf("the target is at %s, the source at %s", newStart, oldEnd)
	}
	must(t, "read", readConsumers(t.Context(), s.from, consumers))
	must(t, "place", placeConsumers(consumers, oldEnd.String(), newStart.String()))
	s.write(s.to, 10)
	must(t, "settle", s.settle(consumers))

	await(t, "the subscriber to have read the old slot", func() bool {
		return s.ask(s.from, `SELECT (confirmed_flush_lsn >= $1::text::pg_lsn)::text FROM pg_replication_slots WHERE slot_name = 'reader'`, oldEnd.String())[0] == "true"
	})
	reader.Exec(t, "app", `ALTER SUBSCRIPTION reader DISABLE`)
	await(t, "the subscriber to stop", func() bool {
		return s.ask(sub, `SELECT count(*)::text FROM pg_stat_subscription WHERE pid IS NOT NULL`)[0] == "0"
	})
	reader.Exec(t, "app",
		fmt.Sprintf(`ALTER SUBSCRIPTION reader CONNECTION 'host=127.0.0.1 port=%d user=postgres dbname=app'`, s.target.Port),
		fmt.Sprintf(`SELECT pg_replication_origin_advance('pg_' || oid, '%s') FROM pg_subscription WHERE subname = 'reader'`, newStart),
		`ALTER SUBSCRIPTION reader ENABLE`)
	s.write(s.to, 10)
	await(t, "the subscriber to follow", func() bool { return len(s.ask(sub, `SELECT id::text FROM entry`)) >= s.last })
	if got := s.ask(sub, `SELECT concat(count(*), ' ', min(id), '-', max(id)) FROM entry`)[0]; got != "40 1-40" {
		t.Errorf("the subscriber has %s", got)
	}
}
