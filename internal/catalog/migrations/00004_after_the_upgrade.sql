-- What is left to do when an upgrade has ended, and what is to be run around its switch.

-- +goose Up
ALTER TABLE instance ADD COLUMN hooks    TEXT NOT NULL DEFAULT 'null'; -- JSON: programs around the switch
ALTER TABLE instance ADD COLUMN backup   TEXT NOT NULL DEFAULT 'null'; -- JSON: the base backup that is missing
ALTER TABLE instance ADD COLUMN findings TEXT NOT NULL DEFAULT 'null'; -- JSON: what an upgrade left to be mended

ALTER TABLE task ADD COLUMN clone TEXT NOT NULL DEFAULT ''; -- id of the instance that it made beside its own

-- +goose Down
ALTER TABLE task DROP COLUMN clone;
ALTER TABLE instance DROP COLUMN findings;
ALTER TABLE instance DROP COLUMN backup;
ALTER TABLE instance DROP COLUMN hooks;
