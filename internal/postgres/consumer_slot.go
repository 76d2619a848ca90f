package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ConsumerSlot is a logical slot that is not pgleap's: somebody else reads the changes of a database.
type ConsumerSlot struct {
	Name      string
	Database  string
	Plugin    string
	TwoPhase  bool
	Failover  bool
	Active    bool
	Lost      bool // nobody can read it any more
	Confirmed LSN
}

// ConsumerSlots lists them. A slot that is still being made has no position and is none yet. Those of
// two_phase are there since 14, of failover since 17; pg_conflict_detection, of 19, has no database.
func ConsumerSlots(ctx context.Context, conn *pgx.Conn) ([]ConsumerSlot, error) {
	rows, err := conn.Query(ctx, `
		SELECT slot_name::text, database::text, plugin::text,
			coalesce((to_jsonb(s) ->> 'two_phase')::boolean, false), coalesce((to_jsonb(s) ->> 'failover')::boolean, false),
			active, coalesce(wal_status = 'lost', false) OR to_jsonb(s) ->> 'invalidation_reason' IS NOT NULL,
			confirmed_flush_lsn::text
		FROM pg_replication_slots s
		WHERE slot_type = 'logical' AND NOT temporary AND database IS NOT NULL AND confirmed_flush_lsn IS NOT NULL
			AND slot_name !~ '`+ourSlots+`' AND slot_name !~ '`+heldSlots+`'
		ORDER BY slot_name`)
	if err != nil {
		return nil, fmt.Errorf("list the slots of others: %w", err)
	}
	slots, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ConsumerSlot, error) {
		var s ConsumerSlot
		err := row.Scan(&s.Name, &s.Database, &s.Plugin, &s.TwoPhase, &s.Failover, &s.Active, &s.Lost, scanLSN{&s.Confirmed})
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the slots of others: %w", err)
	}
	return slots, nil
}

// IdleConsumer is what a slot of somebody else costs a server that clients have left.
type IdleConsumer struct {
	Name     string
	Database string
	Active   bool
	Retained int64 // bytes of WAL
}

// DropStatement is the statement that drops the slot.
func (s IdleConsumer) DropStatement() string {
	return "SELECT pg_drop_replication_slot(" + quoteLiteral(s.Name) + ")"
}

// ReadIdleConsumers lists the slots that ConsumerSlots lists and that keep WAL.
func ReadIdleConsumers(ctx context.Context, conn *pgx.Conn) ([]IdleConsumer, error) {
	rows, err := conn.Query(ctx, `
		SELECT slot_name::text, database::text, active, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::bigint
		FROM pg_replication_slots
		WHERE slot_type = 'logical' AND NOT temporary AND database IS NOT NULL AND confirmed_flush_lsn IS NOT NULL
			AND restart_lsn IS NOT NULL AND wal_status IS DISTINCT FROM 'lost'
			AND slot_name !~ '`+ourSlots+`' AND slot_name !~ '`+heldSlots+`'
		ORDER BY slot_name`)
	if err != nil {
		return nil, fmt.Errorf("measure what the slots of others keep: %w", err)
	}
	slots, err := pgx.CollectRows(rows, pgx.RowToStructByPos[IdleConsumer])
	if err != nil {
		return nil, fmt.Errorf("measure what the slots of others keep: %w", err)
	}
	return slots, nil
}

// heldSlots matches the names of HeldSlot.
const heldSlots = `^pgleap_cdc_[0-9a-f]{16}$`

// HeldSlot is the name under which a consumer's slot is made until the consumer may read it: the first
// half of a digest of its own name, which may be as long as a name can be.
func HeldSlot(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("pgleap_cdc_%x", sum[:8])
}

// CheckHeldSlot wants the slot that HoldSlot made to be there, and to deliver everything from an LSN on.
func CheckHeldSlot(ctx context.Context, conn *pgx.Conn, name string, from LSN) error {
	delivers, err := SlotDelivers(ctx, conn, SlotPosition{Slot: HeldSlot(name), From: from})
	if err == nil && !delivers {
		err = fmt.Errorf("the slot that was made for consumer %s is gone, or stands after LSN %s; try again", name, from)
	}
	return err
}

// HoldSlot makes the slot that is going to be the consumer's of that name in the database of conn.
// It waits for every running transaction.
func HoldSlot(ctx context.Context, conn *pgx.Conn, name, plugin string) error {
	if _, err := conn.Exec(ctx, `SELECT pg_create_logical_replication_slot($1, $2)`, HeldSlot(name), plugin); err != nil {
		return fmt.Errorf("create a slot with plugin %s: %w", plugin, err)
	}
	return nil
}

// DropHeldSlots removes what HoldSlot has made and ReleaseSlot has not taken away.
func DropHeldSlots(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT slot_name::text FROM pg_replication_slots WHERE slot_name ~ '`+heldSlots+`'`)
	if err != nil {
		return fmt.Errorf("list held slots: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list held slots: %w", err)
	}
	for _, name := range names {
		err = errors.Join(err, DropSlot(ctx, conn, name))
	}
	return err
}

// FreeSlots is how many slots a server can still make.
func FreeSlots(ctx context.Context, conn *pgx.Conn) (int, error) {
	var free int
	err := conn.QueryRow(ctx, `
		SELECT current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)::int`).Scan(&free)
	if err != nil {
		return 0, fmt.Errorf("count slots: %w", err)
	}
	return free, nil
}

// ReleaseSlot gives a held slot to its consumer: it appears under its own name, and has what was
// committed at or after from, nothing before. Nobody can read it earlier, because the name is not there:
// an advance (slotfuncs.c, pg_logical_replication_slot_advance) is of the held slot, and the copy, which
// begins where the held slot stands by then, is on disk when it can be seen (copy_replication_slot).
// With replace, a slot of that name which stands before from is an old one, and gives way. It may be
// repeated, and done by several processes: without a held slot there is nothing to do. alter changes
// the copy's properties; if it fails the held slot stays, for whoever repeats it.
func ReleaseSlot(ctx context.Context, conn *pgx.Conn, name string, from LSN, replace bool, alter func() error) error {
	held := HeldSlot(name)
	// Held by the session: nobody else drops the former slot when it is the new one already.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, held); err != nil {
		return fmt.Errorf("lock slot %s: %w", held, err)
	}
	stands, exists, err := findSlot(ctx, conn, held)
	if err != nil || !exists {
		return err
	}
	released, exists, err := findSlot(ctx, conn, name)
	if err != nil {
		return err
	}
	if exists && released < from {
		if err := dropFormer(ctx, conn, name, released, from, replace); err != nil {
			return err
		}
		exists = false
	}
	if !exists {
		if err := copyAt(ctx, conn, held, stands, name, from); err != nil {
			return err
		}
	}
	if err := alter(); err != nil {
		return err
	}
	return DropSlot(ctx, conn, held)
}

// dropFormer makes place for a consumer's slot. It fails if somebody reads the one that is there.
func dropFormer(ctx context.Context, conn *pgx.Conn, name string, stands, from LSN, allowed bool) error {
	if !allowed {
		return fmt.Errorf("slot %s exists and stands at %s, before %s: it is somebody else's", name, stands, from)
	}
	return DropSlot(ctx, conn, name) // its consumer may be back already, and would read once more what it has
}

// copyAt brings a held slot to an LSN and copies it there.
func copyAt(ctx context.Context, conn *pgx.Conn, held string, stands LSN, name string, from LSN) error {
	if stands < from {
		if _, err := conn.Exec(ctx, `SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)`, held, from.String()); err != nil {
			return fmt.Errorf("advance slot %s to %s: %w", held, from, err)
		}
		var err error
		if stands, _, err = findSlot(ctx, conn, held); err != nil {
			return err
		}
	}
	if stands != from {
		return fmt.Errorf("slot %s for %s stands at %s, not at %s", held, name, stands, from)
	}
	if _, err := conn.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1, $2, false)`, held, name); err != nil {
		return fmt.Errorf("create slot %s: %w", name, err)
	}
	return nil
}

// findSlot looks for a slot and its position.
func findSlot(ctx context.Context, conn *pgx.Conn, name string) (confirmed LSN, exists bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1`, name).Scan(scanLSN{&confirmed})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look for slot %s: %w", name, err)
	}
	return confirmed, true, nil
}

// HeldWAL is what a slot that is held for a consumer costs.
type HeldWAL struct {
	Slot     string
	Retained int64 // bytes
	Lost     bool  // nobody can read it any more
}

// DropStatement is the statement that drops the slot.
func (h HeldWAL) DropStatement() string { return IdleConsumer{Name: h.Slot}.DropStatement() }

// HeldFor lists the slots that are still held for these consumers.
func HeldFor(ctx context.Context, conn *pgx.Conn, consumers []string) ([]HeldWAL, error) {
	var names []string
	for _, name := range consumers {
		names = append(names, HeldSlot(name))
	}
	rows, err := conn.Query(ctx, `
		SELECT slot_name::text, coalesce(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn), 0)::bigint,
			coalesce(wal_status = 'lost', false)
		FROM pg_replication_slots
		WHERE slot_name = ANY($1)
		ORDER BY slot_name`, names)
	if err != nil {
		return nil, fmt.Errorf("list held slots: %w", err)
	}
	held, err := pgx.CollectRows(rows, pgx.RowToStructByPos[HeldWAL])
	if err != nil {
		return nil, fmt.Errorf("list held slots: %w", err)
	}
	return held, nil
}

// alterPatience is how long the properties of a slot may take.
const alterPatience = 5 * time.Second

// SlotProperties are those that a copy of a slot does not have: failover, which can be changed since 17, and
// two_phase, since 18.
type SlotProperties struct{ Failover, TwoPhase bool }

// Any tells whether there is one.
func (p SlotProperties) Any() bool { return p.Failover || p.TwoPhase }

// String names them as ALTER_REPLICATION_SLOT does.
func (p SlotProperties) String() string {
	var options []string
	if p.Failover {
		options = append(options, "FAILOVER true")
	}
	if p.TwoPhase {
		options = append(options, "TWO_PHASE true")
	}
	return strings.Join(options, ", ")
}

// SlotLacks tells which of the wanted properties a slot does not have. One that is not there lacks nothing.
func SlotLacks(ctx context.Context, conn *pgx.Conn, name string, wanted SlotProperties) (missing SlotProperties, err error) {
	err = conn.QueryRow(ctx, `
		SELECT $2 AND NOT coalesce((to_jsonb(s) ->> 'failover')::boolean, false), $3 AND NOT coalesce((to_jsonb(s) ->> 'two_phase')::boolean, false)
		FROM pg_replication_slots s WHERE slot_name = $1`, name, wanted.Failover, wanted.TwoPhase).Scan(&missing.Failover, &missing.TwoPhase)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return missing, fmt.Errorf("look at slot %s: %w", name, err)
	}
	return missing, nil
}

// AlterSlot gives a slot properties. Only the replication protocol knows the command, which waits for whoever has the slot
// (slot.c, ReplicationSlotAlter). A consumer that has found its slot already is ended: it comes again.
func AlterSlot(ctx context.Context, conn *pgx.Conn, l Login, name string, properties SlotProperties) error {
	if !properties.Any() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, alterPatience)
	defer cancel()
	altering, err := Connect(ctx, l.With(map[string]string{"replication": "database"}))
	if err != nil {
		return err
	}
	defer altering.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	command := fmt.Sprintf("ALTER_REPLICATION_SLOT %s (%s)", quoteIdent(name), properties)
	var altered error
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, altered = altering.PgConn().Exec(ctx, command).ReadAll()
	}()
	err = poll(ctx, "end the consumer of slot "+name, func() (bool, error) {
		select {
		case <-done:
			return true, nil
		default:
		}
		_, err := conn.Exec(ctx, `
			SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
			WHERE slot_name = $1 AND active_pid <> $2`, name, altering.PgConn().PID())
		return false, err
	})
	cancel() // there is nothing to wait for if its consumer cannot be ended
	<-done
	switch {
	case altered == nil:
		return nil
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fmt.Errorf("alter slot %s: %w", name, altered)
}
