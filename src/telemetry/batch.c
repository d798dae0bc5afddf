/*
 * What a batch holds.
 */
#include "telemetry/telemetry.h"

size_t batch_items(const struct batch *batch)
{
    size_t n = 0;

    if (batch->signal != SIGNAL_METRICS)
        return batch->count;
    for (size_t i = 0; i < batch->count; i++)
        n += batch->metrics[i].count;
    return n;
}
