-- What the vendors' APIs need: who may call, what was called, and a history that is read fast.
-- The columns that follow from what is there already are filled in by version 3 (backfill.go).

-- +goose Up
ALTER TABLE instance ADD COLUMN uuid        TEXT   NOT NULL DEFAULT '';
ALTER TABLE instance ADD COLUMN maintenance TEXT   NOT NULL DEFAULT 'null'; -- JSON of the window
ALTER TABLE instance ADD COLUMN revision    BIGINT NOT NULL DEFAULT 0;      -- grows with every change

CREATE INDEX instance_by_uuid ON instance (uuid);

ALTER TABLE task ADD COLUMN rehearsal         TEXT   NOT NULL DEFAULT 'null'; -- JSON
ALTER TABLE task ADD COLUMN verification      TEXT   NOT NULL DEFAULT 'null'; -- JSON
ALTER TABLE task ADD COLUMN target_version    BIGINT NOT NULL DEFAULT 0; -- server_version_num of the target's programs
ALTER TABLE task ADD COLUMN statistics        TEXT   NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN switched          BIGINT NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN switch_started_at BIGINT;
ALTER TABLE task ADD COLUMN switch_ended_at   BIGINT;
ALTER TABLE task ADD COLUMN log               TEXT   NOT NULL DEFAULT ''; -- the events as lines

DROP INDEX task_of_instance;

CREATE INDEX task_of_instance ON task (instance, kind, number);
CREATE INDEX task_of_target ON task (instance, kind, target, number);
CREATE INDEX task_running ON task (number) WHERE status = 'running';

ALTER TABLE report ADD COLUMN passed      BIGINT NOT NULL DEFAULT 0;
ALTER TABLE report ADD COLUMN valid_until BIGINT NOT NULL DEFAULT 0;

-- The source of an upgrade that has switched over: fenced, and kept until it is retired.
CREATE TABLE former_cluster (
    number     BIGINT PRIMARY KEY REFERENCES task (number),
    instance   TEXT   NOT NULL,
    cluster    TEXT   NOT NULL, -- JSON
    since      BIGINT NOT NULL,
    retired_at BIGINT
);

CREATE TABLE access_key (
    id           TEXT   PRIMARY KEY,
    account      TEXT   NOT NULL,
    description  TEXT   NOT NULL,
    secret       TEXT   NOT NULL, -- sealed
    policy       TEXT   NOT NULL, -- JSON
    disabled     BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    rotated_at   BIGINT,
    last_used_at BIGINT
);

-- What must not be sent twice.
CREATE TABLE nonce (
    access_key TEXT   NOT NULL,
    nonce      TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (access_key, nonce)
);

CREATE INDEX nonce_by_expiry ON nonce (expires_at);

-- The answers to requests that a client may repeat. NULL: not answered yet.
CREATE TABLE client_token (
    account    TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    token      TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    answer     TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, action, token)
);

-- Every call of the vendors' APIs. What changes something is in audit, too.
CREATE TABLE api_call (
    at         BIGINT NOT NULL,
    request_id TEXT   NOT NULL,
    who        TEXT   NOT NULL,
    what       TEXT   NOT NULL,
    object     TEXT   NOT NULL,
    result     TEXT   NOT NULL,
    PRIMARY KEY (at, request_id)
);

-- +goose Down
DROP TABLE api_call;
DROP TABLE client_token;
DROP TABLE nonce;
DROP TABLE access_key;
DROP TABLE former_cluster;
ALTER TABLE report DROP COLUMN valid_until;
ALTER TABLE report DROP COLUMN passed;
DROP INDEX task_running;
DROP INDEX task_of_target;
DROP INDEX task_of_instance;
CREATE INDEX task_of_instance ON task (instance, number);
ALTER TABLE task DROP COLUMN log;
ALTER TABLE task DROP COLUMN switch_ended_at;
ALTER TABLE task DROP COLUMN switch_started_at;
ALTER TABLE task DROP COLUMN switched;
ALTER TABLE task DROP COLUMN statistics;
ALTER TABLE task DROP COLUMN target_version;
ALTER TABLE task DROP COLUMN verification;
ALTER TABLE task DROP COLUMN rehearsal;
DROP INDEX instance_by_uuid;
ALTER TABLE instance DROP COLUMN revision;
ALTER TABLE instance DROP COLUMN maintenance;
ALTER TABLE instance DROP COLUMN uuid;
