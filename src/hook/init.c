/*
 * The start: decides whether this process is observed, makes the region and the descriptor table,
 * meets what was inherited, and starts the reporter. Whatever fails leaves the program unobserved.
 */
#include "hook/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <string.h>
#include <unistd.h>

#include "capture/flow.h"
#include "conf/conf.h"
#include "intercept/process.h"
#include "intercept/tls.h"
#include "os/sys.h"
#include "report/lifecycle.h"

/* What one write to a log may put into the rings: a stdio buffer and more, an eighth of the pool.
 */
enum { DATA_MAX = 65536, CHUNKS_MIN = 16, LANES_SMALL = 32 };

enum { INIT_NONE, INIT_RUNNING, INIT_DONE };
static uint32_t init_state;
static bool observes;

/* -------------------------------------------------- what is wrong in the configuration */

static struct {
    size_t length;
    char text[2048];
} troubles;

static void say(const char *text)
{
    while (*text && troubles.length + 1 < sizeof(troubles.text))
        troubles.text[troubles.length++] = *text++;
}

static void say_number(unsigned n)
{
    char digits[12];
    char *p = digits + sizeof(digits);
    *--p = '\0';
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    say(p);
}

static void keep_trouble(void *context, const struct conf_trouble *trouble)
{
    (void)context;
    say(trouble->origin ? trouble->origin : "configuration");
    if (trouble->line) {
        say(":");
        say_number(trouble->line);
        say(":");
        say_number(trouble->column);
    }
    say(": ");
    say(trouble->text ? trouble->text : "");
    say("\n");
}

const char *hook_troubles(void)
{
    return troubles.text;
}

/* -------------------------------------------------- memory */

static void *map(uint64_t size)
{
    long at = sys(mmap, NULL, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096)
        return NULL;
    /* huge pages would make each first touch cost two megabytes */
    sys(madvise, at, size, MADV_NOHUGEPAGE);
    sys(madvise, at, size, MADV_DONTDUMP);
    return (void *)at;
}

/* The tightest limit on the size of the address space, where mappings of ours count too. */
static uint64_t address_limit(void)
{
    uint64_t limit = ~0ULL;
    static const int resources[] = {RLIMIT_AS, RLIMIT_DATA};
    for (unsigned i = 0; i < 2; i++) {
        struct {
            uint64_t now, highest;
        } l;
        if (sys(prlimit64, 0, resources[i], NULL, &l) == 0 && l.now < limit)
            limit = l.now;
    }
    return limit;
}

static uint64_t region_size(uint32_t chunks, uint32_t lanes)
{
    uint64_t head = (sizeof(struct region_head) + 2 * CHUNK_SIZE) & ~(uint64_t)(CHUNK_SIZE - 1);
    return head + (uint64_t)chunks * CHUNK_SIZE + (uint64_t)lanes * LANE_SIZE;
}

/* The descriptor table and behind it the region: as large as configured, less where the process may
 * not have that much. */
static struct region_head *make_region(const struct conf *conf)
{
    uint64_t limit = address_limit();
    uint64_t pool = conf->memory_pool / CHUNK_SIZE;
    uint32_t chunks = pool > CHUNK_MAX    ? CHUNK_MAX
                      : pool < CHUNKS_MIN ? CHUNKS_MIN
                                          : (uint32_t)pool;
    const uint32_t lanes[] = {conf->memory_threads, 2048, 256, LANES_SMALL};
    const uint64_t table_size = FD_TABLE_SIZE * sizeof(uint64_t);

    if (table_size > limit / 8)
        return NULL;
    for (unsigned i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
        uint32_t l = lanes[i] > 16384 ? 16384 : lanes[i] ? lanes[i] : 1;
        uint32_t c = i + 1 < sizeof(lanes) / sizeof(lanes[0]) || chunks < 64 ? chunks : 64;
        uint64_t size = region_size(c, l);
        if (size > limit / 16 && l > LANES_SMALL)
            continue;
        char *memory = map(table_size + size);
        if (!memory)
            continue;
        struct region_head *region = (struct region_head *)(memory + table_size);
        if (region_init(region, size, c, l) == 0) {
            fd_table = (uint64_t *)memory;
            return region;
        }
        sys(munmap, memory, table_size + size);
    }
    return NULL;
}

/* Room for flows, where messages are wanted and the process may have that much more. */
static void make_flows(const struct region_head *region)
{
    const uint64_t size = (uint64_t)FLOW_MAX * FLOW_SIZE;
    if (region->watch & WATCH_FLOWS && size < address_limit() / 16)
        flow_table = map(size);
}

/* -------------------------------------------------- configuration */

static bool has_propagator(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->propagators.count; i++) {
        if (!strncmp(c->propagators.items[i], name, strlen(name)))
            return true;
    }
    return false;
}

static uint32_t watch_of(const struct conf *c)
{
    uint32_t w = 0;
    if (c->metrics)
        w |= WATCH_METRICS;
    if (c->events_file.enabled)
        w |= WATCH_FILES;
    if (c->events_connection.enabled || (c->metrics && c->metrics_socket))
        w |= WATCH_SOCKETS;
    if (c->events_name.enabled || (c->metrics && c->metrics_name))
        w |= WATCH_NAMES | WATCH_DNS_WIRE;
    if (c->events_process.enabled)
        w |= WATCH_PROCESSES;
    if (c->logs_console)
        w |= WATCH_CONSOLE;
    if (c->logs_files.count)
        w |= WATCH_LOGS;
    if (c->logs_syslog)
        w |= WATCH_SYSLOG;
    if (c->traces || (c->metrics && c->metrics_http))
        w |= WATCH_FLOWS | WATCH_SOCKETS;
    if (c->traces)
        w |= WATCH_TRACES | WATCH_NAMES | (has_propagator(c, "b3") ? WATCH_B3 : 0) |
             (has_propagator(c, "tracecontext") ? WATCH_W3C : 0);
    if (c->traces && c->traces_inject && has_propagator(c, "tracecontext"))
        w |= WATCH_INJECT;
    if (!c->events_file.enabled && !c->events_connection.enabled)
        w |= WATCH_NO_TOTALS;
    return w | span_watch(c);
}

/* What so many nanoseconds are in ticks, as far as the clock is known. */
static uint64_t ticks_of(const struct region_head *region, uint64_t nano)
{
    return (uint64_t)((double)nano * 4294967296.0 / (double)region->clock.mult);
}

static void set_ticks(struct region_head *region, const struct conf *c)
{
    uint64_t slow = ticks_of(region, c->traces_file_slow);
    region->adopt_ticks = ticks_of(region, c->traces_adopt_age);
    region->slow_ticks = c->traces ? slow ? slow : 1 : 0;
}

static void apply(struct region_head *region, const struct conf *c)
{
    size_t at = 0;
    for (size_t i = 0; i < c->logs_files.count; i++) {
        const char *glob = c->logs_files.items[i];
        size_t length = 0;
        while (glob[length])
            length++;
        if (!length || at + length + 2 > LOG_GLOBS_SIZE)
            continue;
        for (size_t k = 0; k <= length; k++)
            region->log_globs[at++] = glob[k];
    }
    region->log_globs[at] = '\0';
    region->data_max = DATA_MAX;
    region->watch = watch_of(c);
    region->adopt_children = c->traces_adopt_children;
    set_ticks(region, c);
    span_sample(region, c);
}

void hook_set_conf(const struct conf *conf)
{
    struct region_head *region = hook_region;
    if (region)
        apply(region, conf);
}

static bool read_conf(char **arguments, char **environment)
{
    char executable[4096]; /* on the initial thread's stack: in .bss it would be a page more */
    long n = sys(readlinkat, AT_FDCWD, "/proc/self/exe", executable, sizeof(executable) - 1);
    if (n > 0)
        executable[n] = '\0';
    struct conf_input input = {
        .environ = environment,
        .privileged = false,
        .executable = n > 0                       ? executable
                      : arguments && arguments[0] ? arguments[0]
                                                  : NULL,
        .arguments = arguments,
        .uid = (uint32_t)sys(geteuid),
    };
    struct conf *conf = conf_load(&input, keep_trouble, NULL);
    if (!conf)
        return false;
    hook_conf = conf;
    return conf_observes(conf, &input);
}

/* -------------------------------------------------- the start */

static void note_stdio(struct region_head *region, struct lane *lane)
{
    uint64_t now = ticks_now();
    struct record r = {.type = RECORD_NOTE,
                       .kind = KIND_NONE,
                       .start = now,
                       .end = now,
                       .fd = -1,
                       .a = NOTE_STDIO_UNSEEN};
    if (lane)
        record_write(region, lane, &r, NULL, 0);
}

static bool start(char **arguments, char **environment)
{
    if (preload_is_second())
        return false;
    clock_choose();
    struct clock_pair first = clock_read();
    if (!read_conf(arguments, environment))
        return false;
    struct region_head *region = make_region(hook_conf);
    if (!region)
        return false;
    apply(region, hook_conf);
    make_flows(region);
    region->log_budget = hook_conf->memory_pool;
    hook_cwd_changed();
    int32_t pid = (int32_t)sys(getpid);
    state_make_key();
    struct clock_relation clock;
    clock_relate(&clock, &first);
    region_set_clock(region, &clock);
    set_ticks(region, hook_conf);
    span_start(region, hook_conf, environment);
    region->enabled = 1;
    /* for the reporter's reclaiming: free while there is one thread, 10 ms as soon as there are two
     */
    sys(membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    state_publish(region, pid);
    struct lane *lane = hook_lane();
    fd_meet_inherited(region, lane, false);
    if (!stdio_patch())
        note_stdio(region, lane);
    return true;
}

/* Runs the start once; a call that comes while it runs (our own, or a handler's) passes through. */
static void start_once(char **arguments, char **environment)
{
    uint32_t expected = INIT_NONE;
    if (!__atomic_compare_exchange_n(&init_state, &expected, INIT_RUNNING, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return;
    /* a program with more rights than its caller is left alone, whatever the environment says */
    if (!getauxval(AT_SECURE))
        observes = start(arguments, environment);
    __atomic_store_n(&init_state, INIT_DONE, __ATOMIC_RELEASE);
}

/* argv, found below the environment on the initial stack; NULL where that is not the layout. */
static char **arguments_before(char **environment)
{
    uintptr_t top = getauxval(AT_EXECFN), at = (uintptr_t)environment;
    if (at >= top || top - at > 64u << 20 || environment[-1])
        return NULL;
    char **p = environment - 2;
    for (uintptr_t count = 0; count < 1u << 20; count++, p--) {
        if ((uintptr_t)*p == count)
            return p + 1;
    }
    return NULL;
}

bool init_early(void)
{
    if (__atomic_load_n(&init_state, __ATOMIC_ACQUIRE) != INIT_NONE)
        return hook_region != NULL;
    /* before libc has set itself up, or on a thread that a constructor made: not yet */
    if (!environ || sys(gettid) != sys(getpid))
        return false;
    start_once(arguments_before(environ), environ);
    return hook_region != NULL;
}

__attribute__((constructor(101))) static void begin(int count, char **arguments, char **environment)
{
    (void)count;
    start_once(arguments, environment);
    if (!observes) {
        if (hook_conf)
            process_start(hook_conf, false);
        return;
    }
    if (hook_region->watch & WATCH_FLOWS)
        tls_entry_start(); /* before there is a thread of ours */
    if (reporter_start(hook_conf, hook_region) < 0)
        hook_region->enabled = 0;
}
