// What the Go collector's tail_sampling processor decides of a folder of cases (the form is told in tests/interop/README.md), each on a clock of its own that does not wait for
// the time to pass (testing/synctest), so that its ticks do not depend on how busy the machine is.
//
//	tailsampling DIR [CASE ...]
//
// prints for each case a line `case NAME` and below it: `span TRACE SPAN` for each span that came out; `refused TEXT`: the configuration; `panic TEXT`; `stuck`: it does not
// stop; `invalid N`: message N does not parse.
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
	"testing"
	"testing/synctest"
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
	patience  = time.Minute // of a case's clock, for a case that may not end
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

// On the clock of the bubble that it runs in.
func (s *script) play() string {
	ctx, out := context.Background(), &sink{}
	fmt.Fprintf(&out.out, "case %s\n", s.name)
	p, err := start(ctx, s.dir, out)
	if err != nil {
		return fmt.Sprintf("%srefused %s\n", out.out.String(), oneLine(err))
	}
	began := time.Now()
	for i, m := range s.messages {
		if m.bad {
			out.Lock()
			fmt.Fprintf(&out.out, "invalid %d\n", i)
			out.Unlock()
			continue
		}
		time.Sleep(time.Until(began.Add(m.at)))
		if err = p.ConsumeTraces(ctx, m.td); err != nil {
			return fmt.Sprintf("case %s\nrefused message %d: %s\n", s.name, i, oneLine(err))
		}
	}
	time.Sleep(time.Until(began.Add(s.end)))
	if err = p.Shutdown(ctx); err != nil {
		return fmt.Sprintf("case %s\nrefused at the end: %s\n", s.name, oneLine(err))
	}
	return out.out.String()
}

// In a process of its own, which may die or never end.
func (s *script) playAlone() string {
	var out, errs bytes.Buffer
	cmd := exec.Command(os.Args[0], "-one", s.dir)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if cmd.Run() == nil {
		return out.String()
	}
	first, _, _ := strings.Cut(errs.String(), "\n")
	return fmt.Sprintf("case %s\npanic %s\n", s.name, first)
}

// The child's part. What does not end goes on ticking, so that its clock comes to the end of the patience.
func (s *script) playOrGiveUp() {
	go func() {
		time.Sleep(s.end + patience)
		fmt.Printf("case %s\nstuck\n", s.name)
		os.Exit(0)
	}()
	fmt.Print(s.play())
	os.Exit(0)
}

func die(err error) {
	fmt.Fprintln(os.Stderr, "tailsampling:", err)
	os.Exit(1)
}

// All cases, one after the other, each in a bubble.
func playAll(t *testing.T, scripts []*script) {
	w := bufio.NewWriter(os.Stdout)
	for _, s := range scripts {
		text := ""
		if _, err := os.Stat(filepath.Join(s.dir, "alone")); err == nil {
			text = s.playAlone()
		} else {
			synctest.Test(t, func(*testing.T) { text = s.play() })
		}
		w.WriteString(text)
	}
	if err := w.Flush(); err != nil {
		die(err)
	}
}

// Bubbles exist in tests only, so this is one; the package's own main ends the process.
func asTest(f func(*testing.T)) {
	os.Args = os.Args[:1]
	all := func(string, string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "cases", F: f}}, nil, nil)
}

func names(dir string) []string {
	var out []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		die(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "-one" {
		s, err := load(os.Args[2])
		if err != nil {
			die(err)
		}
		asTest(func(t *testing.T) { synctest.Test(t, func(*testing.T) { s.playOrGiveUp() }) })
	}
	if len(os.Args) < 2 {
		die(errors.New("usage: tailsampling DIR [CASE ...]"))
	}
	dir, chosen := os.Args[1], os.Args[2:]
	if len(chosen) == 0 {
		chosen = names(dir)
	}
	var scripts []*script
	for _, n := range chosen {
		s, err := load(filepath.Join(dir, n))
		if err != nil {
			die(err)
		}
		scripts = append(scripts, s)
	}
	asTest(func(t *testing.T) { playAll(t, scripts) })
}
