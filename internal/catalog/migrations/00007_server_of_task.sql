-- Each server has an engine of its own, and can tell of its own tasks only whether they are still carried out.

-- +goose Up
ALTER TABLE task ADD COLUMN server TEXT NOT NULL DEFAULT ''; -- the server that carries it out, '' when it is not known

-- +goose Down
ALTER TABLE task DROP COLUMN server;
