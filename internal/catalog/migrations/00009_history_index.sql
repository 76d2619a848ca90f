-- Whether an instance's oldest task is its own, or that of a removed one with its id, is found in the index alone.

-- +goose Up
DROP INDEX task_of_instance;
CREATE INDEX task_of_instance ON task (instance, kind, number, started_at);

-- +goose Down
DROP INDEX task_of_instance;
CREATE INDEX task_of_instance ON task (instance, kind, number);
