package main

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.uber.org/zap"
)

// What the Collector tells of itself: warnings, on standard error. The usual provider is left out because it
// brings Kubernetes' and the clouds' clients along, and with them half of the build.
func newTelemetryFactory() telemetry.Factory {
	return telemetry.NewFactory(
		func() component.Config { return &struct{}{} },
		telemetry.WithCreateLogger(func(_ context.Context, _ telemetry.LoggerSettings, _ component.Config) (*zap.Logger, component.ShutdownFunc, error) {
			config := zap.NewProductionConfig()
			config.Level = zap.NewAtomicLevelAt(zap.WarnLevel)
			config.Encoding = "console"
			logger, err := config.Build()
			return logger, func(context.Context) error { return nil }, err
		}))
}
