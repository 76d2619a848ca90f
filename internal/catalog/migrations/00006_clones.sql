-- Whether an upgrade was to make a clone only, which is asked of each line of the history, also when it failed.

-- +goose Up
ALTER TABLE task ADD COLUMN clone_only BIGINT NOT NULL DEFAULT 0;

UPDATE task
   SET clone_only = 1
 WHERE clone <> '' OR plan LIKE '%"cloneOnly":true%';

-- +goose Down
ALTER TABLE task DROP COLUMN clone_only;
