package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

//go:embed naive.sh
var recipe string

// naive is one round of the recipe.
func (s *stage) naive(ctx context.Context, _ int) (timed, error) {
	cmd := exec.CommandContext(ctx, "bash", "-c", recipe)
	cmd.Env = s.environment()
	var failed bytes.Buffer
	cmd.Stderr = &failed
	answers, err := cmd.StdinPipe()
	if err != nil {
		return timed{}, err
	}
	marks, err := cmd.StdoutPipe()
	if err != nil {
		return timed{}, err
	}
	if err := cmd.Start(); err != nil {
		return timed{}, err
	}
	took, problem := s.follow(ctx, marks, answers)
	if err := cmd.Wait(); err != nil {
		return timed{}, fmt.Errorf("recipe: %w: %s", err, failed.String())
	}
	s.at = s.next()
	return took, problem
}

func (s *stage) environment() []string {
	address := fmt.Sprintf("host=127.0.0.1 user=%s passfile=%s sslmode=disable", upgrade.Role, s.login.Passfile)
	console := s.pooler.Adopt().Console
	return []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "PSQL=" + s.psql, "ROLE=" + role, "DATABASES=" + strings.Join(all, " "),
		fmt.Sprintf("SOURCE=%s port=%d", address, s.source.Port),
		fmt.Sprintf("TARGET=%s port=%d", address, s.target.Port),
		fmt.Sprintf("CONSOLE=host=%s port=%d user=%s passfile=%s dbname=pgbouncer", console.Host, console.Port, console.User, console.Passfile),
		"INI=" + s.pooler.Adopt().Ini, "HOST_NOW=" + hosts[s.at], "HOST_NEXT=" + hosts[s.next()], fmt.Sprintf("PORT=%d", s.source.Port),
	}
}

// follow reads when each step began, and lifts the fence when the recipe has come to it.
func (s *stage) follow(ctx context.Context, marks io.Reader, answers io.WriteCloser) (timed, error) {
	defer answers.Close() //nolint:errcheck // the recipe may be gone
	var took timed
	step, since := "", time.Time{}
	for lines := bufio.NewScanner(marks); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue // what pg_terminate_backend has to say
		}
		whole, fraction := math.Modf(seconds)
		at := time.Unix(int64(whole), int64(fraction*1e9))
		if step != "" {
			took.steps = append(took.steps, upgrade.StepDuration{Step: step, Duration: at.Sub(since)})
		} else {
			took.begun = at
		}
		step, since, took.ended = name, at, at
		if name == "unfence" {
			if err := s.unfence(ctx); err != nil {
				return took, err
			}
			if _, err := fmt.Fprintln(answers); err != nil {
				return took, err
			}
		}
	}
	if step != "end" {
		return took, fmt.Errorf("the recipe ended in step %q", step)
	}
	return took, nil
}
