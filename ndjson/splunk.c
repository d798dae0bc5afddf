#include "report/sink.h"
const struct sink_encoder splunk_encoder = {.name = "splunk", .temporality = TEMPORALITY_DELTA};
