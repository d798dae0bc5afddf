// statsd_check: reads StatsD lines from standard input and says what Prometheus' StatsD exporter makes of each,
// one JSON object a line: {"line", "events": [{"name", "type", "value", "relative", "labels"}], "errors": [...], "tag_errors"}.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/statsd_exporter/pkg/event"
	"github.com/prometheus/statsd_exporter/pkg/line"
)

type seen struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Value    float64           `json:"value"`
	Relative bool              `json:"relative"`
	Labels   map[string]string `json:"labels"`
}

type result struct {
	Line      string   `json:"line"`
	Events    []seen   `json:"events"`
	Errors    []string `json:"errors"`
	TagErrors int      `json:"tag_errors"`
}

func describe(e event.Event) seen {
	out := seen{Name: e.MetricName(), Type: string(e.MetricType()), Value: e.Value(), Labels: e.Labels()}
	if gauge, is := e.(*event.GaugeEvent); is {
		out.Relative = gauge.GRelative
	}
	return out
}

func reasons(errors *prometheus.CounterVec) []string {
	out := []string{}
	collected := make(chan prometheus.Metric, 100)
	errors.Collect(collected)
	close(collected)
	for metric := range collected {
		var told dto.Metric
		if err := metric.Write(&told); err != nil {
			log.Fatal(err)
		}
		out = append(out, told.Label[0].GetValue())
	}
	return out
}

func count(counter prometheus.Counter) int {
	var told dto.Metric
	if err := counter.Write(&told); err != nil {
		log.Fatal(err)
	}
	return int(told.Counter.GetValue())
}

func check(parser *line.Parser, text string) result {
	new := func(name string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name})
	}
	errors := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "errors"}, []string{"reason"})
	tagErrors := new("tag_errors")
	events := parser.LineToEvents(text, *errors, new("samples"), tagErrors, new("tags"), slog.New(slog.NewTextHandler(io.Discard, nil)))
	out := result{Line: text, Events: []seen{}, Errors: reasons(errors), TagErrors: count(tagErrors)}
	for _, e := range events {
		out.Events = append(out.Events, describe(e))
	}
	return out
}

func main() {
	parser := line.NewParser()
	if len(os.Args) < 2 || os.Args[1] != "plain" {
		parser.EnableDogstatsdParsing()
	}
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if err := encoder.Encode(check(parser, scanner.Text())); err != nil {
			log.Fatal(err)
		}
	}
	if err := scanner.Err(); err != nil {
		log.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}
