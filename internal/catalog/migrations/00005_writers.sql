-- Who writes the record, on PostgreSQL: a server that is the only one answers from memory. One that does
-- not say that it is there must not write, so what such an older one would change gets other names.

-- +goose Up
ALTER TABLE instance RENAME COLUMN revision TO changes; -- grows with every one
ALTER TABLE nonce RENAME TO used_nonce;

-- One row for each process that has the record open.
CREATE TABLE writer (
    id    TEXT   PRIMARY KEY, -- a new one each time that it joins
    host  TEXT   NOT NULL,
    pid   BIGINT NOT NULL,
    since BIGINT NOT NULL,
    beats BIGINT NOT NULL, -- grows every second: who does not see it grow takes the process for gone
    alone BIGINT NOT NULL  -- 1: it may know what is not in the record yet
);

-- +goose Down
DROP TABLE writer;
ALTER TABLE used_nonce RENAME TO nonce;
ALTER TABLE instance RENAME COLUMN changes TO revision;
