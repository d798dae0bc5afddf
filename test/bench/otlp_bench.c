/*
 * How fast telemetry becomes OTLP: spans, points and log records a second on one core, and bytes
 * each.
 *
 *     build/release/bench/otlp_bench [RUNS]
 *
 * Ten attributes of twenty characters each, requests of 512, a resource of twelve attributes. CPU
 * time of this thread; the median of the runs, and the least and the most. gzip is the command's,
 * level 6.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "otlp/otlp.h"

enum { ITEMS = 512, ATTRIBUTES = 10, BATCHES = 200, RUNS_MOST = 99 };

static struct attribute attributes[ITEMS][ATTRIBUTES], resource_attributes[12];
static char texts[ITEMS][ATTRIBUTES][24];
static struct span spans[ITEMS];
static struct log_record logs[ITEMS];
static struct metric_point points[ITEMS];
static const struct telemetry_scope scopes[2] = {{TEXT("scope.http"), TEXT("2.0.0")},
                                                 {TEXT("scope.file"), TEXT("2.0.0")}};

static void make(void)
{
    static const char *const keys[] = {"http.request.method",  "url.path",       "url.scheme",
                                       "server.address",       "client.address", "network.protocol",
                                       "user_agent.original",  "http.route",     "thread.name",
                                       "network.peer.address", "process.owner",  "host.name"};

    for (unsigned i = 0; i < ITEMS; i++) {
        for (unsigned k = 0; k < ATTRIBUTES; k++) {
            snprintf(texts[i][k], sizeof(texts[i][k]), "value-%u-%013u", k, i * 7919 + k);
            attributes[i][k] = (struct attribute){.key = text_of(keys[k]), .type = VALUE_TEXT};
            attributes[i][k].text = (struct text){texts[i][k], 20};
        }
        struct attributes set = {attributes[i], ATTRIBUTES, 0};
        uint64_t time = 1700000000000000000 + i * 1000003ull;
        spans[i] = (struct span){.parent_span_id = {1, 2, 3},
                                 .flags = 0x101,
                                 .name = TEXT("GET /cart"),
                                 .kind = SPAN_SERVER,
                                 .start_time = time,
                                 .end_time = time + 500000,
                                 .attributes = set,
                                 .scope = &scopes[i % 2]};
        logs[i] = (struct log_record){.time = time,
                                      .observed_time = time,
                                      .body = {texts[i][0], 20},
                                      .severity = SEVERITY_INFO,
                                      .attributes = set,
                                      .scope = &scopes[i % 2]};
        points[i] = (struct metric_point){
            .attributes = set, .start_time = 1, .time = time, .is_int = true, .integer = i};
        for (unsigned n = 0; n < 16; n++)
            spans[i].trace_id[n] = logs[i].trace_id[n] =
                (uint8_t)((i * 2654435761u) >> (n % 4 * 8));
        memcpy(spans[i].span_id, spans[i].trace_id + 3, 8);
        memcpy(logs[i].span_id, spans[i].span_id, 8);
    }
    for (unsigned k = 0; k < 12; k++)
        resource_attributes[k] = (struct attribute){
            .key = text_of(keys[k]), .type = VALUE_TEXT, .text = TEXT("resource attribute x")};
}

static FILE *kept; /* where the first unit goes, to be measured */
static size_t bytes;

static void take(void *context, const void *data, size_t length, size_t items)
{
    (void)context;
    (void)items;
    bytes += length;
    if (kept)
        fwrite(data, 1, length, kept);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static size_t gzipped(const struct batch *b, const struct conf *conf)
{
    char path[] = "/tmp/otlp_bench.XXXXXX", command[80];
    unsigned long size = 0;
    int fd = mkstemp(path);

    kept = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!kept)
        return 0;
    otlp_encoder.encode(b, conf, 4 << 20, take, NULL);
    fclose(kept);
    kept = NULL;
    snprintf(command, sizeof(command), "gzip -c %s | wc -c", path);
    FILE *p = popen(command, "r");
    if (p && fscanf(p, "%lu", &size) != 1)
        size = 0;
    if (p)
        pclose(p);
    remove(path);
    return size;
}

static void measure(const char *name, const struct batch *b, enum otlp_protocol protocol,
                    unsigned runs)
{
    struct conf conf = {.limits_log.attributes = {true, 128},
                        .limits_span.attributes = {true, 128}};
    double rates[RUNS_MOST];

    conf.otlp[b->signal].protocol = protocol;
    conf.otlp[b->signal].batch = 512;
    size_t packed = gzipped(b, &conf);
    for (unsigned run = 0; run < runs; run++) {
        bytes = 0;
        double start = now();
        for (unsigned i = 0; i < BATCHES; i++)
            otlp_encoder.encode(b, &conf, 4 << 20, take, NULL);
        rates[run] = (double)ITEMS * BATCHES / (now() - start);
    }
    qsort(rates, runs, sizeof(*rates), by_size);
    printf("%-12s %-8s %9.0f /s (%9.0f to %9.0f) %6.0f ns each, %5.0f bytes, %4.0f gzipped\n", name,
           protocol == OTLP_JSON ? "json" : "protobuf", rates[runs / 2], rates[0], rates[runs - 1],
           1e9 / rates[runs / 2], (double)bytes / ITEMS / BATCHES, (double)packed / ITEMS);
}

int main(int count, char **argv)
{
    struct resource resource = {{resource_attributes, 12, 0}, 1};
    struct metric metric = {.name = TEXT("scope.file.io"),
                            .unit = TEXT("By"),
                            .scope = &scopes[1],
                            .type = METRIC_SUM,
                            .temporality = TEMPORALITY_CUMULATIVE,
                            .monotonic = true,
                            .points = points,
                            .count = ITEMS};
    struct batch traces = {
        .signal = SIGNAL_TRACES, .resource = &resource, .spans = spans, .count = ITEMS};
    struct batch metrics = {
        .signal = SIGNAL_METRICS, .resource = &resource, .metrics = &metric, .count = 1};
    struct batch records = {
        .signal = SIGNAL_LOGS, .resource = &resource, .logs = logs, .count = ITEMS};
    int runs = count > 1 ? atoi(argv[1]) : 9;

    if (runs < 1 || runs > RUNS_MOST)
        return 2;
    make();
    for (unsigned protocol = OTLP_PROTOBUF; protocol <= OTLP_JSON; protocol++) {
        measure("spans", &traces, (enum otlp_protocol)protocol, (unsigned)runs);
        measure("points", &metrics, (enum otlp_protocol)protocol, (unsigned)runs);
        measure("log records", &records, (enum otlp_protocol)protocol, (unsigned)runs);
    }
    return 0;
}
