package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
)

// The receiver otlp_lines: hands a file of OTLP's JSON lines, read once at the start, to the pipelines.
// The decoders are pdata's, which every receiver of OTLP/JSON uses; contrib's own receiver of such files is
// in no module that can be had. A line that cannot be decoded stops the Collector.
type linesConfig struct {
	Path string `mapstructure:"path"`
}

type lines struct {
	path    string
	consume func(context.Context, []byte) error
}

func newLinesFactory() receiver.Factory {
	read := func(config component.Config, consume func(context.Context, []byte) error) *lines {
		return &lines{path: config.(*linesConfig).Path, consume: consume}
	}
	return receiver.NewFactory(component.MustNewType("otlp_lines"),
		func() component.Config { return &linesConfig{} },
		receiver.WithLogs(func(_ context.Context, _ receiver.Settings, config component.Config, next consumer.Logs) (receiver.Logs, error) {
			return read(config, func(ctx context.Context, line []byte) error {
				data, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
				if err == nil && data.LogRecordCount() == 0 {
					err = fmt.Errorf("no log record")
				}
				if err != nil {
					return err
				}
				return next.ConsumeLogs(ctx, data)
			}), nil
		}, component.StabilityLevelDevelopment),
		receiver.WithMetrics(func(_ context.Context, _ receiver.Settings, config component.Config, next consumer.Metrics) (receiver.Metrics, error) {
			return read(config, func(ctx context.Context, line []byte) error {
				data, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(line)
				if err == nil && data.DataPointCount() == 0 {
					err = fmt.Errorf("no point")
				}
				if err != nil {
					return err
				}
				return next.ConsumeMetrics(ctx, data)
			}), nil
		}, component.StabilityLevelDevelopment),
		receiver.WithTraces(func(_ context.Context, _ receiver.Settings, config component.Config, next consumer.Traces) (receiver.Traces, error) {
			return read(config, func(ctx context.Context, line []byte) error {
				data, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
				if err == nil && data.SpanCount() == 0 {
					err = fmt.Errorf("no span")
				}
				if err != nil {
					return err
				}
				return next.ConsumeTraces(ctx, data)
			}), nil
		}, component.StabilityLevelDevelopment))
}

func (l *lines) Start(ctx context.Context, _ component.Host) error {
	file, err := os.Open(l.path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 64<<20)
	for number := 1; scanner.Scan(); number++ {
		if err := l.consume(ctx, scanner.Bytes()); err != nil {
			return fmt.Errorf("%s:%d: %w", l.path, number, err)
		}
	}
	return scanner.Err()
}

func (l *lines) Shutdown(context.Context) error { return nil }
