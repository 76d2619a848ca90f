package postgres

import (
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"
)

// versioned finds {14:this|that} in a query: this, since 14, and that on older servers.
var versioned = regexp.MustCompile(`\{(\d+):([^|]*)\|([^}]*)\}`)

// knownTo makes a query one that the server knows.
func knownTo(conn *pgx.Conn, query string) string {
	return forMajor(int(ServerMajor(conn)), query)
}

func forMajor(major int, query string) string {
	return versioned.ReplaceAllStringFunc(query, func(found string) string {
		parts := versioned.FindStringSubmatch(found)
		var first int
		if _, err := fmt.Sscan(parts[1], &first); err == nil && major >= first {
			return parts[2]
		}
		return parts[3]
	})
}
