-- Runs on SQLite and on PostgreSQL: only types that both know (SQLite goes by the words INT, TEXT
-- and DOUB in them), and no sequences, which each has in its own way.

-- +goose Up

-- Numbers that are never given out twice.
CREATE TABLE counter (
    name TEXT   PRIMARY KEY,
    last BIGINT NOT NULL
);

INSERT INTO counter (name, last) VALUES ('task', 0), ('audit', 0);

CREATE TABLE instance (
    id         TEXT   PRIMARY KEY,
    host       TEXT   NOT NULL,
    pgdata     TEXT   NOT NULL,
    cluster    TEXT   NOT NULL, -- JSON
    endpoint   TEXT   NOT NULL, -- JSON
    created_at BIGINT NOT NULL,
    UNIQUE (host, pgdata)
);

-- Tasks outlive their instance, so that the history is complete: no foreign key.
CREATE TABLE task (
    number       BIGINT PRIMARY KEY,
    id           TEXT   NOT NULL UNIQUE, -- UUID
    kind         TEXT   NOT NULL,
    instance     TEXT   NOT NULL,
    mode         TEXT   NOT NULL,
    source       BIGINT NOT NULL, -- server_version_num
    target       BIGINT NOT NULL, -- major version
    status       TEXT   NOT NULL,
    phase        TEXT   NOT NULL,
    reason       TEXT   NOT NULL,
    progress     TEXT   NOT NULL, -- JSON, null when there is none
    switchover   TEXT   NOT NULL, -- JSON, null when there was none
    plan         TEXT   NOT NULL, -- JSON, null when there is none
    phases       TEXT   NOT NULL, -- JSON
    started_at   BIGINT NOT NULL,
    ended_at     BIGINT,
    requested_by TEXT   NOT NULL
);

CREATE INDEX task_of_instance ON task (instance, number);

CREATE UNIQUE INDEX task_one_running_upgrade ON task (instance)
    WHERE kind = 'upgrade' AND status = 'running';

CREATE TABLE event (
    task    BIGINT NOT NULL REFERENCES task (number),
    seq     BIGINT NOT NULL, -- 1, 2, 3 within the task
    batch   TEXT   NOT NULL, -- the key under which it was written
    at      BIGINT NOT NULL,
    level   TEXT   NOT NULL,
    phase   TEXT   NOT NULL,
    message TEXT   NOT NULL,
    PRIMARY KEY (task, seq)
);

CREATE INDEX event_of_batch ON event (task, batch);

-- Every sample as it was taken (resolution 0), and of every minute (resolution 60000000) the one
-- with the greatest lag: a chart of many days is drawn from these.
CREATE TABLE lag_sample (
    task         BIGINT           NOT NULL REFERENCES task (number),
    resolution   BIGINT           NOT NULL,
    slot         BIGINT           NOT NULL, -- at, or the beginning of its minute
    at           BIGINT           NOT NULL,
    bytes        BIGINT           NOT NULL,
    lag_seconds  DOUBLE PRECISION NOT NULL,
    retained_wal BIGINT           NOT NULL,
    eta_seconds  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (task, resolution, slot)
);

CREATE INDEX lag_sample_by_age ON lag_sample (at);

CREATE TABLE report (
    number     BIGINT PRIMARY KEY REFERENCES task (number),
    instance   TEXT   NOT NULL,
    mode       TEXT   NOT NULL,
    target     BIGINT NOT NULL, -- major version
    checked_at BIGINT NOT NULL,
    body       TEXT   NOT NULL, -- JSON
    retired    BIGINT NOT NULL  -- 1: of an instance that was removed
);

CREATE INDEX report_of_instance ON report (instance, mode, target, checked_at);

CREATE TABLE audit (
    seq        BIGINT PRIMARY KEY,
    at         BIGINT NOT NULL,
    who        TEXT   NOT NULL,
    what       TEXT   NOT NULL,
    object     TEXT   NOT NULL,
    result     TEXT   NOT NULL,
    request_id TEXT   NOT NULL
);

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- +goose Down
DROP TABLE setting;
DROP TABLE audit;
DROP TABLE report;
DROP TABLE lag_sample;
DROP TABLE event;
DROP TABLE task;
DROP TABLE instance;
DROP TABLE counter;
