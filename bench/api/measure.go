package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// stage is one engine with its catalogues, and the servers before them.
type stage struct {
	options
	engine      engine
	name        string
	large, few  fixture
	real, small *child // servers of the two catalogues
	bare        *child
	log         *slog.Logger
}

func measureEngine(ctx context.Context, name string, o options) (figures engineFigures, err error) {
	s := &stage{options: o, name: name, large: newFixture(o.tasks), few: newFixture(o.few), log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	defer func() { err = errors.Join(err, s.clear(context.WithoutCancel(ctx))) }()
	figures = engineFigures{Engine: name}
	begun := time.Now()
	if err := s.setUp(ctx); err != nil {
		return figures, fmt.Errorf("set up: %w", err)
	}
	figures.SetUp = time.Since(begun).Seconds()
	s.log.InfoContext(ctx, "catalogues are there", "engine", name, "seconds", figures.SetUp)
	for _, question := range scenarios() {
		if s.question != "" && s.question != question.name {
			continue
		}
		for _, d := range distributions() {
			measured, err := s.measure(ctx, question, d)
			if err != nil {
				return figures, fmt.Errorf("%s, %s: %w", question.name, d.name, err)
			}
			figures.Questions = append(figures.Questions, measured)
			s.log.InfoContext(ctx, "measured", "engine", name, "question", question.name, "instances", d.name,
				"p99", measured.Latency.P99, "ratio", measured.Ratio, "growth", measured.Growth)
		}
	}
	return figures, nil
}

func (s *stage) setUp(ctx context.Context) (err error) {
	if s.engine, err = newEngine(ctx, s.name, s.options); err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	for _, server := range []struct {
		to **child
		of fixture
	}{{&s.real, s.large}, {&s.small, s.few}} {
		address, err := s.engine.seeded(ctx, server.of, quiet)
		if err != nil {
			return err
		}
		if *server.to, err = startChild(realServer, orders{Catalog: address}); err != nil {
			return err
		}
	}
	s.bare, err = startChild(bareServer, orders{Key: "PGLEAP" + rand.Text()[:14], Secret: rand.Text()})
	return err
}

func (s *stage) clear(ctx context.Context) error {
	var failed error
	for _, c := range []*child{s.real, s.small, s.bare} {
		if c != nil {
			failed = errors.Join(failed, c.end())
		}
	}
	if s.engine != nil {
		failed = errors.Join(failed, s.engine.clear(ctx))
	}
	return failed
}

// contestant is a server and what it is asked.
type contestant struct {
	load
	server *child
}

// sample is what came of a while of asking.
type sample struct {
	perSecond float64
	cost      float64 // microseconds of processor time of server and engine for a request
	client    float64 // and of this program
}

// connections are open while latency is measured: enough that a request does not wait for one.
const connections = 64

func (s *stage) measure(ctx context.Context, question scenario, d distribution) (figures, error) {
	f := figures{Question: question.name, Cloud: question.cloud, Instances: d.name}
	large := contestant{load{to: s.real.peer, scenario: question, fixture: s.large, among: d.among(s.large)}, s.real}
	if err := s.rehearse(large, &f); err != nil {
		return f, err
	}
	if err := s.measureLatency(ctx, large, &f); err != nil {
		return f, err
	}
	bare := large
	bare.to, bare.server = s.bare.peer, s.bare
	contestants := []contestant{large, bare}
	if s.large != s.few {
		salted := d.polled == instances && question.cloud == aliyunCloud
		few := contestant{load{to: s.small.peer, scenario: question, fixture: s.few, among: d.among(s.few), salted: salted}, s.small}
		contestants = append(contestants, few)
		if salted {
			fresh := large
			fresh.salted = true
			contestants = append(contestants, fresh)
		}
	}
	rounds := make([][]sample, s.rounds)
	for n := range rounds {
		for _, c := range contestants {
			if err := ctx.Err(); err != nil {
				return f, err
			}
			measured, err := s.sample(c, s.round)
			if err != nil {
				return f, err
			}
			rounds[n] = append(rounds[n], measured)
		}
	}
	f.sumUp(rounds)
	return f, s.profile(large, question.name+"-"+d.name)
}

// rehearse looks whether the answers are right, gives one to the bare handler, and warms the server up.
func (s *stage) rehearse(c contestant, f *figures) error {
	for _, instance := range []int{1, c.among - 1, 0} { // an upgrade of the last one is running
		answer, err := c.scenario.check(c.to, c.fixture, instance)
		if err != nil {
			return err
		}
		if f.AnswerBytes = len(answer); instance == 0 {
			continue
		}
		if err := s.bare.order(orders{Answer: answer}); err != nil {
			return err
		}
	}
	if _, err := c.scenario.check(s.bare.peer, c.fixture, 0); err != nil {
		return fmt.Errorf("bare handler: %w", err)
	}
	stranger := s.bare.peer
	stranger.Secret += "!"
	if _, err := c.scenario.check(stranger, c.fixture, 0); err == nil {
		return errors.New("the bare handler accepts a wrong signature")
	}
	if err := c.sweep(s.clients); err != nil {
		return err
	}
	_, _, err := c.throughput(s.clients, s.round/2)
	return err
}

// Latency is measured again while the machine's host gives more than stealable percent of the processors' time to
// others, attempts times at most: the time that a request waits for a processor is not the server's.
const (
	stealable = 2
	attempts  = 5
)

// measureLatency keeps the measurement from which least was stolen.
func (s *stage) measureLatency(ctx context.Context, c contestant, f *figures) error {
	for n := range attempts {
		if err := ctx.Err(); err != nil {
			return err
		}
		tried := *f
		if err := s.latency(c, &tried); err != nil {
			return err
		}
		if n == 0 || tried.Stolen < f.Stolen {
			*f = tried
		}
		if f.Stolen <= stealable {
			break
		}
	}
	return nil
}

func (s *stage) latency(c contestant, f *figures) error {
	length := time.Duration(s.seconds) * time.Second
	busy, err := s.busy(c.server)
	if err != nil {
		return err
	}
	machine, err := readProcessors()
	if err != nil {
		return err
	}
	own := ownCPU()
	took, err := c.latencies(connections, s.rate, length)
	if err != nil {
		return err
	}
	ownAfter := ownCPU()
	after, err := s.busy(c.server)
	if err != nil {
		return err
	}
	machineAfter, err := readProcessors()
	if err != nil {
		return err
	}
	f.Latency = spreadOf(took)
	f.Stolen = machineAfter.stolenSince(machine)
	f.ServerShare = 100 * (after - busy).Seconds() / length.Seconds()
	f.ClientShare = 100 * (ownAfter - own).Seconds() / length.Seconds()
	return nil
}

func (s *stage) sample(c contestant, length time.Duration) (sample, error) {
	before, err := s.busy(c.server)
	if err != nil {
		return sample{}, err
	}
	own := ownCPU()
	answered, took, err := c.throughput(s.clients, length)
	if err != nil {
		return sample{}, err
	}
	after, err := s.busy(c.server)
	if err != nil {
		return sample{}, err
	}
	perRequest := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(answered) }
	return sample{float64(answered) / took.Seconds(), perRequest(after - before), perRequest(ownCPU() - own)}, nil
}

// busy is the processor time that a server and its engine have taken.
func (s *stage) busy(c *child) (time.Duration, error) {
	server, err := c.cpu()
	if err != nil || c == s.bare {
		return server, err
	}
	engine, err := s.engine.cpu()
	return server + engine, err
}

// profile lets the server go on for a while, and writes down where it spends its time.
func (s *stage) profile(c contestant, name string) error {
	if s.profiles == "" {
		return nil
	}
	dir, err := filepath.Abs(s.profiles)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, s.name+"-"+strings.ReplaceAll(name, " ", "-")+".pprof")
	if err := c.server.order(orders{Profile: file}); err != nil {
		return err
	}
	_, _, err = c.throughput(s.clients, 5*time.Second)
	return errors.Join(err, c.server.order(orders{Stop: true}))
}
