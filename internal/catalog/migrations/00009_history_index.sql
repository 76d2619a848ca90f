-- Whether a task is its instance's own, or that of a removed one with its id, is found in the indexes alone.

-- +goose Up
DROP INDEX task_of_instance;
DROP INDEX task_of_target;
CREATE INDEX task_of_instance ON task (instance, kind, number, started_at);
CREATE INDEX task_of_target ON task (instance, kind, target, number, started_at);

-- +goose Down
DROP INDEX task_of_instance;
DROP INDEX task_of_target;
CREATE INDEX task_of_instance ON task (instance, kind, number);
CREATE INDEX task_of_target ON task (instance, kind, target, number);
