/*
 * otlp: OpenTelemetry's own protocol, as protobuf or JSON.
 *
 * The encoders are declared in report/sink.h: otlp_encoder, whose unit is the body of one request,
 * and otlp_lines_encoder. Owns: nothing but one spare buffer. Reporter's thread. Must not know a
 * transport. The only folder that includes protobuf-c.
 */
#ifndef SCOPE_OTLP_OTLP_H
#define SCOPE_OTLP_OTLP_H

#include "report/sink.h"

/*
 * A batch as lines of OpenTelemetry's files: each a TracesData, MetricsData or LogsData in JSON
 * with
 * '\n' behind it, a unit each. Divided, cut and limited as requests are (see the encoder's
 * `encode`: conf->otlp[signal].batch and conf's limits hold). Returns the items that had to be left
 * out.
 */
size_t otlp_json_lines(const struct batch *batch, const struct conf *conf, size_t unit_max,
                       sink_emit *emit, void *context);

/* What the server meant, for otlp_encoder. Pure. Allocates little, and only for protobuf. */
void otlp_judge(const struct reply *reply, struct verdict *verdict);

#endif
