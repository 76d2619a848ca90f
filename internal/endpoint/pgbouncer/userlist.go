package pgbouncer

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// User is a role that may come through PgBouncer.
type User struct {
	Name string
	// Secret is pg_authid.rolpassword: a SCRAM secret or an MD5 hash. With a SCRAM secret PgBouncer
	// logs in to the cluster with what the client has proven, if the secret there is the same one,
	// which it is in a physical clone. Never a password in clear.
	Secret string
}

// LogValue keeps the secret out of logs.
func (u User) LogValue() slog.Value { return slog.StringValue(u.Name) }

// String keeps the secret out of messages.
func (u User) String() string { return u.Name }

// AuthType is the strictest AuthType that all users can meet.
func AuthType(users []User) string {
	for _, u := range users {
		if strings.HasPrefix(u.Secret, "md5") {
			return "md5"
		}
	}
	return "scram-sha-256"
}

// RefreshUsers makes these, and only these, the roles that may come through. It returns the names of
// those that cannot, having no password; with AuthType trust they can.
func (o Own) RefreshUsers(ctx context.Context, users []User) (without []string, err error) {
	console, err := o.consoleSecret()
	if err != nil {
		return nil, err
	}
	listed := []User{console}
	for _, u := range users {
		switch {
		case u.Name == consoleUser:
			return nil, fmt.Errorf("role %q has the name of PgBouncer's console user: rename it", u.Name)
		case u.Secret == "" && o.AuthType != "trust":
			without = append(without, u.Name)
		default:
			listed = append(listed, u)
		}
	}
	text := userlist(listed)
	if old, err := os.ReadFile(o.userlist()); err == nil && string(old) == text {
		return without, nil
	}
	if err := o.write(o.userlist(), text); err != nil {
		return nil, fmt.Errorf("write PgBouncer's users: %w", err)
	}
	if o.pid() == 0 {
		return without, nil
	}
	return without, o.reload(ctx)
}

// consoleSecret finds the console's user in the password file.
func (o Own) consoleSecret() (User, error) {
	text, err := os.ReadFile(o.passfile())
	if err != nil {
		return User{}, fmt.Errorf("read password of PgBouncer's console: %w", err)
	}
	_, password, found := strings.Cut(strings.TrimSpace(string(text)), ":"+consoleUser+":")
	if !found {
		return User{}, fmt.Errorf("read password of PgBouncer's console: %s has none for %s", o.passfile(), consoleUser)
	}
	return User{Name: consoleUser, Secret: password}, nil
}

// userlist writes an auth_file: a quote is doubled to stand for itself.
func userlist(users []User) string {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	var b strings.Builder
	for _, u := range users {
		b.WriteString(quote(u.Name) + " " + quote(u.Secret) + "\n")
	}
	return b.String()
}
