package harness

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// The databases and the roles that write to them.
const (
	Bank = "bank"
	Shop = "shop"

	BankRole = "bank_app"
	ShopRole = "shop_app"

	// RolePassword is the applications' password. The clusters listen on loopback for some minutes.
	RolePassword = "correct horse battery staple"
)

//go:embed bank.sql
var bankSchema string

//go:embed shop.sql
var shopSchema string

// Fill makes the two databases and their roles, with the tables of pgbench at a scale.
func (c *Cluster) Fill(ctx context.Context, scale int) error {
	err := c.Exec(ctx, "postgres",
		"CREATE ROLE "+BankRole+" LOGIN PASSWORD '"+RolePassword+"'",
		"CREATE ROLE "+ShopRole+" LOGIN PASSWORD '"+RolePassword+"'",
		"CREATE DATABASE "+Bank, "CREATE DATABASE "+Shop)
	if err != nil {
		return err
	}
	err = c.run(ctx, "pgbench", "--initialize", "--scale", strconv.Itoa(scale), "--quiet",
		"--host", "127.0.0.1", "--port", strconv.Itoa(c.Port), "--username", c.Superuser, Bank)
	if err != nil {
		return fmt.Errorf("fill the tables of pgbench: %w", err)
	}
	if err := c.Exec(ctx, Bank, bankSchema); err != nil {
		return err
	}
	return c.Exec(ctx, Shop, shopSchema)
}

// Size is the number of bytes that the two databases take.
func (c *Cluster) Size(ctx context.Context) (size int64, err error) {
	err = c.In(ctx, "postgres", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT sum(pg_database_size(datname))::bigint FROM pg_database WHERE datname IN ($1, $2)`, Bank, Shop).Scan(&size)
	})
	return size, err
}
