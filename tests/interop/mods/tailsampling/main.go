// What the Go collector's tail_sampling processor decides of a folder of cases (the form is told in tests/interop/README.md), in real time, all at once.
//
//	tailsampling DIR [CASE ...]
//
// prints for each case a line `case NAME` and below it: `span TRACE SPAN` for each span that came out; `refused TEXT`: the configuration; `panic TEXT`; `stuck`: it did not
// stop; `invalid N`: message N does not parse; `late MS`: how much too late the latest message was sent.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/tailsamplingprocessor"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"
)

const (
	endOfCase = 0xffffffff
	patience  = 4 * time.Second // after the end of a case that may get stuck

	// Cases start one after the other, so that their ticks do not fall together, in the middle of the wall clock's seconds: `composite` counts by those.
	phase     = 150 * time.Millisecond
	stagger   = 10 * time.Millisecond
	perSecond = 60
)

type message struct {
	at  time.Duration
	td  ptrace.Traces
	bad bool
}

type script struct {
	name, dir string
	messages  []message
	end       time.Duration
}

// A sink that notes ids. Spans may be changed once it has returned, so nothing of them is kept.
type sink struct {
	sync.Mutex
	out bytes.Buffer
}

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	s.Lock()
	defer s.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				t, p := span.TraceID(), span.SpanID()
				fmt.Fprintf(&s.out, "span %x %x\n", t[:], p[:])
			}
		}
	}
	return nil
}

func load(dir string) (*script, error) {
	s := &script{name: filepath.Base(dir), dir: dir}
	b, err := os.ReadFile(filepath.Join(dir, "messages"))
	if err != nil {
		return nil, err
	}
	for len(b) >= 8 {
		at, n := time.Duration(binary.LittleEndian.Uint32(b))*time.Millisecond, binary.LittleEndian.Uint32(b[4:])
		b = b[8:]
		if n == endOfCase {
			s.end = at
			return s, nil
		}
		if uint32(len(b)) < n {
			break
		}
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(b[:n])
		s.messages = append(s.messages, message{at, td, err != nil})
		b = b[n:]
	}
	return nil, fmt.Errorf("%s/messages ends early", dir)
}

func configure(dir string) (component.Config, error) {
	b, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return nil, err
	}
	var raw map[string]any
	if err = yaml.Unmarshal(b, &raw); err != nil {
		return nil, err
	}
	cfg := tailsamplingprocessor.NewFactory().CreateDefaultConfig()
	if err = confmap.NewFromStringMap(raw).Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, nil
}

func start(ctx context.Context, dir string, next consumer.Traces) (processor.Traces, error) {
	cfg, err := configure(dir)
	if err != nil {
		return nil, err
	}
	telemetry := componenttest.NewNopTelemetrySettings()
	telemetry.Logger = zap.NewNop()
	set := processor.Settings{ID: component.MustNewID("tail_sampling"), TelemetrySettings: telemetry}
	p, err := tailsamplingprocessor.NewFactory().CreateTraces(ctx, set, cfg, next)
	if err != nil {
		return nil, err
	}
	return p, p.Start(ctx, componenttest.NewNopHost())
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func (s *script) play() string {
	ctx, out := context.Background(), &sink{}
	fmt.Fprintf(&out.out, "case %s\n", s.name)
	p, err := start(ctx, s.dir, out)
	if err != nil {
		return fmt.Sprintf("%srefused %s\n", out.out.String(), oneLine(err))
	}
	began, late := time.Now(), time.Duration(0)
	for i, m := range s.messages {
		if m.bad {
			out.Lock()
			fmt.Fprintf(&out.out, "invalid %d\n", i)
			out.Unlock()
			continue
		}
		time.Sleep(time.Until(began.Add(m.at)))
		late = max(late, time.Since(began.Add(m.at)))
		if err = p.ConsumeTraces(ctx, m.td); err != nil {
			return fmt.Sprintf("case %s\nrefused message %d: %s\n", s.name, i, oneLine(err))
		}
	}
	time.Sleep(time.Until(began.Add(s.end)))
	late = max(late, time.Since(began.Add(s.end)))
	if err = p.Shutdown(ctx); err != nil {
		return fmt.Sprintf("case %s\nrefused at the end: %s\n", s.name, oneLine(err))
	}
	return fmt.Sprintf("%slate %d\n", out.out.String(), late.Milliseconds())
}

// In a process of its own, which may die or never end.
func (s *script) playAlone() string {
	ctx, cancel := context.WithTimeout(context.Background(), s.end+patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0], "-one", s.dir)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String()
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("case %s\nstuck\n", s.name)
	}
	first, _, _ := strings.Cut(errs.String(), "\n")
	return fmt.Sprintf("case %s\npanic %s\n", s.name, first)
}

func die(err error) {
	fmt.Fprintln(os.Stderr, "tailsampling:", err)
	os.Exit(1)
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "-one" {
		s, err := load(os.Args[2])
		if err != nil {
			die(err)
		}
		fmt.Print(s.play())
		return
	}
	if len(os.Args) < 2 {
		die(errors.New("usage: tailsampling DIR [CASE ...]"))
	}
	names := os.Args[2:]
	if len(names) == 0 {
		entries, err := os.ReadDir(os.Args[1])
		if err != nil {
			die(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	var scripts []*script
	for _, n := range names {
		s, err := load(filepath.Join(os.Args[1], n))
		if err != nil {
			die(err)
		}
		scripts = append(scripts, s)
	}
	results, done := make([]string, len(scripts)), sync.WaitGroup{}
	base := time.Now().Truncate(time.Second).Add(time.Second + phase)
	for i, s := range scripts {
		play := s.play
		if _, err := os.Stat(filepath.Join(s.dir, "alone")); err == nil {
			play = s.playAlone
		}
		time.Sleep(time.Until(base.Add(time.Duration(i/perSecond)*time.Second + time.Duration(i%perSecond)*stagger)))
		done.Go(func() { results[i] = play() })
	}
	done.Wait()
	w := bufio.NewWriter(os.Stdout)
	for _, r := range results {
		w.WriteString(r)
	}
	if err := w.Flush(); err != nil {
		die(err)
	}
}
