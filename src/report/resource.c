/*
 * What the observed process is: OpenTelemetry's resource, read once, when it is first asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "os/sys.h"
#include "report/fold_process.h"
#include "report/fold_state.h"

enum {
    ATTRIBUTES_MAX = 128,
    ARENA_BYTES = 256 << 10,
    COMMAND_USUAL = 2048, /* bytes of a command line */
    COMMAND_MAX = 16384,
    ARGUMENTS_MAX = 512,
    ENVIRONMENT_USUAL = 16384, /* a small block of our heap */
    FILE_MAX = 1 << 20,
    READ_WHOLE = 1024,
    STAT_FRESH = 20 * 1000000, /* ns: then it is read again */
};

struct process_identity {
    struct resource resource;
    struct arena *arena;
    struct process_stat stat;
    struct text executable; /* path */
    struct text working_directory;
    bool contained; /* in a pid namespace of its own, or of others */
    struct text *arguments;
    size_t argument_count;
    struct text owner, container, trace_state;
    char *environment; /* while the attributes are made */
    size_t environment_length;
    bool kubernetes;  /* this is a pod */
    uint64_t created; /* unix ns; 0 not known */
};

/* ------------------------------------------------------------------ reading */

long read_at(int directory, const char *path, char *out, size_t size)
{
    long fd = sys(openat, directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    size_t n = 0;
    long got;
    do {
        got = sys(read, fd, out + n, size - n);
        if (got > 0)
            n += (size_t)got;
    } while (got >= READ_WHOLE && n < size); /* less than that is the end, in /proc and elsewhere */
    sys(close, fd);
    return got < 0 ? got : (long)n;
}

long read_file(const char *path, char *out, size_t size)
{
    return read_at(AT_FDCWD, path, out, size);
}

bool process_is_self(const struct fold *f)
{
    return f->self;
}

int process_directory(const struct fold *f)
{
    char path[32] = "/proc/self";
    if (!process_is_self(f))
        snprintf(path, sizeof(path), "/proc/%d", f->pid);
    return (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool process_parse_stat(const char *text, size_t length, struct process_stat *out)
{
    uint64_t field[53] = {0}; /* numbered as in proc(5) */
    const char *end = text + length, *p = memrchr(text, ')', length);
    if (!p || end - p < 4)
        return false;
    p += 3; /* past ") S" */
    int n = 4;
    for (; n < 53 && p < end; n++) {
        while (p < end && *p == ' ')
            p++;
        if (p < end && *p == '-')
            p++;
        uint64_t value = 0;
        while (p < end && *p >= '0' && *p <= '9')
            value = value * 10 + (uint64_t)(*p++ - '0');
        field[n] = value;
    }
    if (n < 25)
        return false;
    *out = (struct process_stat){
        .parent = (int32_t)field[4],
        .minor_faults = field[10],
        .major_faults = field[12],
        .user_ticks = field[14],
        .system_ticks = field[15],
        .threads = field[20],
        .start_ticks = field[22],
        .virtual_size = field[23],
        .resident = field[24] * (uint64_t)sysconf(_SC_PAGESIZE),
        .arg_start = field[48],
        .arg_end = field[49],
        .env_start = field[50],
        .env_end = field[51],
    };
    return true;
}

bool process_read_stat(struct fold *f, int directory, struct process_stat *out)
{
    uint64_t now = now_mono();
    if (!f->stat_read || now - f->stat_read > STAT_FRESH) {
        char text[1024];
        long n = read_at(directory, "stat", text, sizeof(text));
        if (n <= 0 || !process_parse_stat(text, (size_t)n, &f->stat))
            return false;
        f->stat_read = now;
    }
    *out = f->stat;
    return true;
}

struct directory_entry { /* getdents64's */
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

int64_t process_count_entries(int directory)
{
    char room[4096] __attribute__((aligned(8)));
    int64_t count = 0;
    long n;
    while ((n = sys(getdents64, directory, room, sizeof(room))) > 0)
        for (long at = 0; at < n;) {
            const struct directory_entry *e = (const struct directory_entry *)(room + at);
            count += e->name[0] != '.';
            at += e->length;
        }
    return count;
}

/* ------------------------------------------------------------------ pieces of it */

static struct text base_name(struct text path)
{
    const char *slash = path.length ? memrchr(path.data, '/', path.length) : NULL;
    if (!slash)
        return path;
    return (struct text){slash + 1, path.length - (size_t)(slash + 1 - path.data)};
}

static void read_executable(int directory, struct process_identity *id)
{
    char target[4096];
    long n = sys(readlinkat, directory, "exe", target, sizeof(target));
    if (n > 0 && target[0] == '/')
        id->executable = arena_copy(id->arena, target, (size_t)n);
}

/* Where it is when it is first asked for: at the start, or soon after. */
static void read_working_directory(int directory, struct process_identity *id)
{
    static const char deleted[] = " (deleted)";
    const size_t tail = sizeof(deleted) - 1;
    char target[4096];
    long n = sys(readlinkat, directory, "cwd", target, sizeof(target));
    bool gone = n > (long)tail && !memcmp(target + n - tail, deleted, tail);
    if (n > 0 && target[0] == '/' && !gone)
        id->working_directory = arena_copy(id->arena, target, (size_t)n);
}

/* The first pid namespace has a number that the kernel never gives to another. */
static void read_namespace(int directory, struct process_identity *id)
{
    static const char first[] = "pid:[4026531836]";
    char target[64];
    long n = sys(readlinkat, directory, "ns/pid", target, sizeof(target));
    id->contained = n > 5 && !memcmp(target, first, 5) &&
                    (n != (long)sizeof(first) - 1 || memcmp(target, first, (size_t)n) != 0);
}

/*
 * A part of our own memory, as /proc would show it, for a tenth of the price. The kernel copies it:
 * where a program has moved or unmapped what was there, the answer is an error.
 */
static long read_own(int32_t pid, uint64_t from, uint64_t end, char *out, size_t size)
{
    uint64_t length = end - from;
    if (!from || end <= from || length > size)
        return -ERANGE;
    struct iovec local = {out, length}, remote = {(void *)(uintptr_t)from, length};
    long n = sys(process_vm_readv, pid, &local, 1, &remote, 1, 0);
    return n == (long)length && !out[n - 1] ? n : -EFAULT;
}

static void read_arguments(const struct fold *f, int directory, struct process_identity *id)
{
    size_t room = COMMAND_USUAL;
    char *text = arena_take(id->arena, room);
    long n = -EINVAL;
    if (text && process_is_self(f))
        n = read_own(f->pid, id->stat.arg_start, id->stat.arg_end, text, room);
    if (text && n < 0)
        n = read_at(directory, "cmdline", text, room);
    if (n == (long)room) {
        room = COMMAND_MAX;
        text = arena_take(id->arena, room);
        n = text ? read_at(directory, "cmdline", text, room) : 0;
    }
    size_t count = 1;
    for (long i = 0; i < n && count < ARGUMENTS_MAX; i++)
        count += !text[i];
    id->arguments = n > 0 ? arena_take(id->arena, count * sizeof(*id->arguments)) : NULL;
    for (long at = 0; id->arguments && at < n && id->argument_count < count;) {
        size_t length = strnlen(text + at, (size_t)(n - at));
        id->arguments[id->argument_count++] = (struct text){text + at, length};
        at += (long)length + 1;
    }
}

/* /etc/passwd's name of a user; the whole file is never held. */
static struct text user_name(struct arena *arena, uint32_t uid)
{
    char room[1024], line[256]; /* a fresh stack costs 2 us a page */
    size_t used = 0;
    char number[16];
    int digits = snprintf(number, sizeof(number), "%u", uid);
    long fd = sys(openat, AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC), n;
    struct text name = {0};
    if (fd < 0)
        return name;
    while (!name.length && (n = sys(read, fd, room, sizeof(room))) > 0) {
        for (long i = 0; i < n && !name.length; i++) {
            if (room[i] != '\n') {
                if (used < sizeof(line))
                    line[used++] = room[i];
                continue;
            }
            /* name:password:uid:... */
            const char *colon = memchr(line, ':', used);
            const char *at =
                colon ? memchr(colon + 1, ':', used - (size_t)(colon + 1 - line)) : NULL;
            if (at && used - (size_t)(at + 1 - line) > (size_t)digits &&
                !memcmp(at + 1, number, (size_t)digits) && at[1 + digits] == ':')
                name = arena_copy(arena, line, (size_t)(colon - line));
            used = 0;
        }
    }
    sys(close, fd);
    return name;
}

static void read_owner(const struct fold *f, int directory, struct process_identity *id)
{
    uint32_t uid = (uint32_t)sys(geteuid);
    if (!process_is_self(f)) {
        char text[1024];
        long n = read_at(directory, "status", text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = 0;
        const char *p = strstr(text, "\nUid:\t"); /* real, effective, ... */
        p = p ? strchr(p + 6, '\t') : NULL;
        if (!p)
            return;
        for (uid = 0, p++; *p >= '0' && *p <= '9'; p++)
            uid = uid * 10 + (uint32_t)(*p - '0');
    }
    id->owner = user_name(id->arena, uid);
}

static uint64_t nano(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void read_created(struct process_identity *id)
{
    struct timespec boot, real;
    if (!id->stat.start_ticks || sys(clock_gettime, CLOCK_BOOTTIME, &boot) != 0 ||
        sys(clock_gettime, CLOCK_REALTIME, &real) != 0)
        return;
    id->created = nano(real) - nano(boot) + id->stat.start_ticks * (1000000000u / CLOCK_TICKS);
}

/* ------------------------------------------------------------------ the attributes */

static void put(struct attribute_list *list, const char *key, struct text value)
{
    if (value.length)
        attributes_text(list, key, value);
}

/* RFC 3339, UTC, milliseconds. Days to a date: Howard Hinnant's well known arithmetic. */
static struct text time_text(struct arena *arena, uint64_t unix_nano)
{
    uint64_t s = unix_nano / 1000000000u, day = s / 86400, z = day + 719468, era = z / 146097;
    uint64_t doe = z - era * 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    uint64_t month = mp < 10 ? mp + 3 : mp - 9;
    return arena_format(
        arena, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)(yoe + era * 400 + (month <= 2)),
        (unsigned)month, (unsigned)(doy - (153 * mp + 2) / 5 + 1), (unsigned)(s % 86400 / 3600),
        (unsigned)(s % 3600 / 60), (unsigned)(s % 60), (unsigned)(unix_nano / 1000000 % 1000));
}

static void random_uuid(char out[37])
{
    uint8_t b[16];
    if (sys(getrandom, b, sizeof(b), 0) != (long)sizeof(b))
        return;
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static void service(struct fold *f, struct process_identity *id, struct attribute_list *list)
{
    struct text name = text_of(f->conf->service_name);
    if (!name.length) {
        struct text exe = base_name(id->executable);
        name = exe.length
                   ? arena_format(id->arena, "unknown_service:%.*s", (int)exe.length, exe.data)
                   : TEXT("unknown_service");
    }
    put(list, "service.name", name);
    if (!f->instance[0]) /* stays when the configuration changes */
        random_uuid(f->instance);
    put(list, "service.instance.id", text_of(f->instance));
    put(list, "telemetry.sdk.name", TEXT("scope"));
    put(list, "telemetry.sdk.language", TEXT("c"));
    put(list, "telemetry.sdk.version", TEXT(SCOPE_VERSION));
    put(list, "telemetry.distro.name", TEXT("scope"));
    put(list, "telemetry.distro.version", TEXT(SCOPE_VERSION));
}

static void process(struct fold *f, struct process_identity *id, struct attribute_list *list)
{
    attributes_int(list, "process.pid", f->pid);
    if (id->contained && process_is_self(f))
        attributes_int(list, "process.vpid", f->pid);
    if (id->stat.parent)
        attributes_int(list, "process.parent_pid", id->stat.parent);
    put(list, "process.executable.name", base_name(id->executable));
    put(list, "process.executable.path", id->executable);
    if (id->argument_count) {
        put(list, "process.command", id->arguments[0]);
        attributes_texts(list, "process.command_args", id->arguments, id->argument_count);
    }
    put(list, "process.working_directory", id->working_directory);
    put(list, "process.owner", id->owner);
    if (id->created)
        put(list, "process.creation.time", time_text(id->arena, id->created));
}

static void host(struct process_identity *id, struct attribute_list *list)
{
    struct utsname u;
    char machine[64];
    put(list, "os.type", TEXT("linux"));
    if (sys(uname, &u) == 0) {
        struct text node = text_of(u.nodename);
        put(list, "host.name", arena_copy(id->arena, node.data, node.length));
        put(list, "os.description",
            arena_format(id->arena, "%s %s %s", u.sysname, u.release, u.version));
    }
#if defined(__x86_64__)
    put(list, "host.arch", TEXT("amd64"));
#elif defined(__aarch64__)
    put(list, "host.arch", TEXT("arm64"));
#endif
    long n = read_file("/etc/machine-id", machine, sizeof(machine));
    while (n > 0 && (machine[n - 1] == '\n' || machine[n - 1] == ' '))
        n--;
    if (n > 0)
        put(list, "host.id", arena_copy(id->arena, machine, (size_t)n));
    put(list, "container.id", id->container);
}

struct variable {
    const char *name, *key;
    bool only_in_kubernetes; /* a name that others use too */
};

/* The names that manifests give to what the downward API tells. */
static const struct variable variables[] = {
    {"K8S_POD_NAME", "k8s.pod.name", false},
    {"K8S_POD_UID", "k8s.pod.uid", false},
    {"K8S_NAMESPACE_NAME", "k8s.namespace.name", false},
    {"K8S_POD_NAMESPACE", "k8s.namespace.name", false},
    {"K8S_NAMESPACE", "k8s.namespace.name", false},
    {"K8S_NODE_NAME", "k8s.node.name", false},
    {"K8S_CONTAINER_NAME", "k8s.container.name", false},
    {"K8S_DEPLOYMENT_NAME", "k8s.deployment.name", false},
    {"K8S_REPLICASET_NAME", "k8s.replicaset.name", false},
    {"K8S_STATEFULSET_NAME", "k8s.statefulset.name", false},
    {"K8S_DAEMONSET_NAME", "k8s.daemonset.name", false},
    {"K8S_JOB_NAME", "k8s.job.name", false},
    {"K8S_CRONJOB_NAME", "k8s.cronjob.name", false},
    {"K8S_CLUSTER_NAME", "k8s.cluster.name", false},
    {"POD_NAME", "k8s.pod.name", true},
    {"POD_UID", "k8s.pod.uid", true},
    {"POD_NAMESPACE", "k8s.namespace.name", true},
    {"NODE_NAME", "k8s.node.name", true},
};

/* The initial environment as the kernel keeps it: the program may be changing its own just now. */
static void read_environment(const struct fold *f, int directory, struct process_identity *id)
{
    size_t room = ENVIRONMENT_USUAL;
    uint64_t told = id->stat.env_end - id->stat.env_start;
    if (id->stat.env_end > id->stat.env_start && told < room)
        room = (size_t)told + 1;
    char *text = malloc(room);
    long n = -EINVAL;
    if (text && process_is_self(f))
        n = read_own(f->pid, id->stat.env_start, id->stat.env_end, text, room);
    if (text && n < 0)
        n = read_at(directory, "environ", text, room);
    if (n == (long)room) {
        free(text);
        room = FILE_MAX;
        text = malloc(room);
        n = text ? read_at(directory, "environ", text, room) : 0;
    }
    id->environment = text;
    id->environment_length = n > 0 ? (size_t)n : 0;
    id->kubernetes = n > 0 && memmem(text, (size_t)n, "KUBERNETES_SERVICE_HOST=", 24);
}

static void kubernetes(struct process_identity *id, struct attribute_list *list)
{
    const char *text = id->environment;
    size_t n = id->environment_length;
    bool any = id->kubernetes || (n && memmem(text, n, "K8S_", 4));
    for (size_t at = 0; any && at < n;) {
        struct text entry = {text + at, strnlen(text + at, n - at)};
        for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
            const struct variable *v = &variables[i];
            size_t length = strlen(v->name);
            if ((v->only_in_kubernetes && !id->kubernetes) || entry.length <= length + 1 ||
                entry.data[length] != '=' || memcmp(entry.data, v->name, length))
                continue;
            put(list, v->key,
                arena_copy(id->arena, entry.data + length + 1, entry.length - length - 1));
        }
        at += entry.length + 1;
    }
}

static void configured(const struct conf_pairs *pairs, struct attribute_list *list)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (pairs->items[i].key && pairs->items[i].value)
            attributes_text(list, pairs->items[i].key, text_of(pairs->items[i].value));
}

static uint64_t content_hash(struct attributes a)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < a.count; i++) {
        const struct text parts[2] = {
            a.items[i].key, a.items[i].type == VALUE_TEXT ? a.items[i].text : (struct text){0}};
        for (int p = 0; p < 2; p++)
            for (size_t k = 0; k < parts[p].length; k++)
                h = (h ^ (uint8_t)parts[p].data[k]) * 0x100000001b3ULL;
        if (a.items[i].type == VALUE_INT)
            h = (h ^ (uint64_t)a.items[i].integer) * 0x100000001b3ULL;
    }
    return h ? h : 1;
}

static struct process_identity *identity(struct fold *f)
{
    if (f->identity)
        return f->identity;
    struct process_identity *id = calloc(1, sizeof(*id));
    if (!id)
        return NULL;
    id->arena = arena_new(ARENA_BYTES);
    if (!id->arena) {
        free(id);
        return NULL;
    }
    struct attribute_list list = {.arena = id->arena};
    /* Behind a seccomp filter a call that the program does not make itself may be its death. */
    bool may_ask = !f->region->sandboxed;
    int directory = may_ask ? process_directory(f) : -ENOENT;
    if (may_ask) {
        (void)process_read_stat(f, directory, &id->stat);
        read_executable(directory, id);
        read_working_directory(directory, id);
        read_namespace(directory, id);
        read_arguments(f, directory, id);
        read_owner(f, directory, id);
        read_environment(f, directory, id);
        id->container = container_id(id->arena, directory, id->kubernetes);
        read_created(id);
    }
    if (directory >= 0)
        sys(close, directory);
    service(f, id, &list);
    process(f, id, &list);
    if (may_ask)
        host(id, &list);
    kubernetes(id, &list);
    id->trace_state =
        process_read_trace_state(f, id->arena, id->environment, id->environment_length);
    free(id->environment);
    id->environment = NULL;
    configured(&f->conf->attributes, &list);
    configured(&f->conf->tags, &list);
    id->resource.attributes = attributes_done(&list);
    id->resource.id = content_hash(id->resource.attributes);
    f->identity = id;
    return id;
}

const struct resource *fold_resource(struct fold *f)
{
    static const struct resource nothing;
    struct process_identity *id = identity(f);
    return id ? &id->resource : &nothing;
}

struct text process_executable(struct fold *f)
{
    struct process_identity *id = identity(f);
    return id ? id->executable : (struct text){0};
}

struct text process_trace_state(struct fold *f)
{
    struct process_identity *id = identity(f);
    return id ? id->trace_state : (struct text){0};
}

void process_describe(struct fold *f, struct event *e)
{
    struct process_identity *id = identity(f);
    if (!id)
        return;
    event_int(e, "process.pid", f->pid);
    if (id->stat.parent)
        event_int(e, "process.parent_pid", id->stat.parent);
    if (id->executable.length)
        event_text(e, "process.executable.path", id->executable);
    if (id->argument_count)
        event_list(e, "process.command_args", id->arguments, id->argument_count);
    if (id->owner.length)
        event_text(e, "process.owner", id->owner);
    if (id->container.length)
        event_text(e, "container.id", id->container);
}

void resource_free(struct fold *f)
{
    if (!f->identity)
        return;
    arena_free(f->identity->arena);
    free(f->identity);
    f->identity = NULL;
}
