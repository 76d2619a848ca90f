-- The database "shop": smaller, and written by another role.

CREATE TABLE articles (
	id serial PRIMARY KEY,
	name text NOT NULL UNIQUE,
	price numeric(8, 2) NOT NULL,
	sold bigint NOT NULL DEFAULT 0
);
INSERT INTO articles (name, price) SELECT 'article ' || i, 1 + i % 97 FROM generate_series(1, 500) AS i;

CREATE TABLE orders (
	id bigserial PRIMARY KEY,
	ref text NOT NULL,
	total numeric(12, 2) NOT NULL DEFAULT 0,
	placed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON orders (ref);

CREATE TABLE order_lines (
	order_id bigint NOT NULL REFERENCES orders,
	line smallint NOT NULL,
	article_id int NOT NULL REFERENCES articles,
	quantity int NOT NULL CHECK (quantity > 0),
	price numeric(8, 2) NOT NULL,
	PRIMARY KEY (order_id, line)
);

GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO shop_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shop_app;
