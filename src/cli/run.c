/*
 * scope run: starts a command with the library in it, by becoming that command: its exit status,
 * signals and terminal are its own.
 */
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/recording.h"
#include "conf/conf.h"
#include "os/target.h"
#include "transport/transport.h"

enum { EXIT_OURS = 125, EXIT_REFUSED = 126, EXIT_NOT_FOUND = 127, SETS_MAX = 64 };

static const char usage[] =
    "usage: scope run [OPTION]... [--] COMMAND [ARGUMENT]...\n"
    "\n"
    "Runs COMMAND with the library in it and in all that it starts. The exit status, the signals\n"
    "and the terminal are the command's own.\n"
    "\n"
    "  --config FILE     read this scope.yml\n"
    "  --set KEY=VALUE   set one option (see scope config); may be given more than once\n"
    "  --ndjson TO       write NDJSON to a file, stdout, stderr, tcp://host:port, "
    "udp://host:port,\n"
    "                    unix:///path or unixgram:///path\n"
    "  --otlp URL        send OTLP to a Collector: http://localhost:4318 (v1/metrics and so on is\n"
    "                    appended)\n"
    "  --statsd TO       send StatsD metrics to udp://host:port or unixgram:///path\n"
    "  --out DIR         record into DIR\n"
    "  --quiet           say nothing on standard error, but why COMMAND could not be started\n"
    "\n"
    "Without --otlp, --ndjson, --statsd, --out and a sink in the configuration, it records into a "
    "directory\n"
    "of its own below $XDG_STATE_HOME/scope/runs, for scope summary to show.\n"
    "Exits with 127 if COMMAND is not found, 126 if it cannot be executed, 125 on an error of "
    "ours.\n";

struct run {
    const char *config, *otlp, *ndjson, *statsd, *out;
    char *sets[SETS_MAX + 1];
    unsigned set_count;
    bool quiet;
    char **command;
    char program[PATH_MAX]; /* the file that will be executed */
    enum target target;
    char directory[PATH_MAX]; /* of the recording; empty: none of ours */
};

/* ------------------------------------------------------------------ the library */

static bool try_library(char *out, size_t size, const char *directory, const char *below)
{
    char path[PATH_MAX * 2], real[PATH_MAX];

    snprintf(path, sizeof(path), "%s%slibscope.so", directory, below);
    if (access(path, R_OK) != 0 || !realpath(path, real) || strlen(real) >= size)
        return false;
    strcpy(out, real);
    return true;
}

int run_find_library(char *out, size_t size)
{
    static const char *const places[] = {
        "/",
        "/../lib/",
        "/../lib/scope/",
#if defined(__x86_64__)
        "/../lib/x86_64-linux-gnu/",
        "/../lib/x86_64-linux-gnu/scope/",
#elif defined(__aarch64__)
        "/../lib/aarch64-linux-gnu/",
        "/../lib/aarch64-linux-gnu/scope/",
#endif
        "/../lib64/",
    };
    const char *named = getenv("SCOPE_LIBRARY");
    char self[PATH_MAX] = "";
    bool found = false;

    if (named && *named) {
        char real[PATH_MAX];
        if (!realpath(named, real) || access(real, R_OK) != 0 || strlen(real) >= size)
            return -ENOENT;
        strcpy(out, real);
        found = true;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (unsigned i = 0; slash && !found && i < sizeof(places) / sizeof(places[0]); i++)
        found = try_library(out, size, self, places[i]);
    if (!found && !try_library(out, size, "/usr/local/lib", "/") &&
        !try_library(out, size, "/usr/lib", "/"))
        return -ENOENT;
    return strpbrk(out, ": ") ? -EINVAL : 0;
}

int run_preload(const char *library)
{
    const char *before = getenv("LD_PRELOAD");
    char *value;

    if (!before || !*before)
        return setenv("LD_PRELOAD", library, 1) == 0 ? 0 : -ENOMEM;
    if (strstr(before, library))
        return 0;
    if (asprintf(&value, "%s:%s", before, library) < 0)
        return -ENOMEM;
    int r = setenv("LD_PRELOAD", value, 1);
    free(value);
    return r == 0 ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------ arguments */

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "scope run: %s: %s\n", what, why);
    return EXIT_OURS;
}

/* 0: go on. Else the exit status plus one. */
static int parse(struct run *run, int argc, char **argv)
{
    enum { CONFIG = 1, SET, OTLP, NDJSON, STATSD, OUT };
    static const struct option options[] = {
        {"config", required_argument, NULL, CONFIG},
        {"set", required_argument, NULL, SET},
        {"otlp", required_argument, NULL, OTLP},
        {"ndjson", required_argument, NULL, NDJSON},
        {"statsd", required_argument, NULL, STATSD},
        {"out", required_argument, NULL, OUT},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:qh", options, NULL)) != -1) {
        if (optarg && !strcmp(optarg, "--"))
            c = ':';
        switch (c) {
        case CONFIG:
            run->config = optarg;
            break;
        case SET:
            if (!strchr(optarg, '=') || strchr(optarg, '\n'))
                return complain(optarg, "--set takes KEY=VALUE") + 1;
            if (run->set_count == SETS_MAX)
                return complain(optarg, "more than 64 --set") + 1;
            run->sets[run->set_count++] = optarg;
            break;
        case OTLP:
            run->otlp = optarg;
            break;
        case NDJSON:
            run->ndjson = optarg;
            break;
        case STATSD:
            run->statsd = optarg;
            break;
        case OUT:
            run->out = optarg;
            break;
        case 'q':
            run->quiet = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1;
        case ':':
            return complain(argv[optind - (optarg ? 2 : 1)], "a value is missing") + 1;
        default:
            complain(argv[optind - 1], "no such option");
            fputs("Try: scope run --help\n", stderr);
            return EXIT_OURS + 1;
        }
    }
    run->command = argv + optind;
    if (!run->command[0]) {
        fputs(usage, stderr);
        return EXIT_OURS + 1;
    }
    if (run->out && run->ndjson)
        return complain("--out, --ndjson", "both say where NDJSON goes: one of them") + 1;
    return 0;
}

/* ------------------------------------------------------------------ what the command is handed */

/* Children change their directory: a file's name must mean the same everywhere. */
static char *absolute(const char *path)
{
    char cwd[PATH_MAX], *result;

    if (*path == '/' || !getcwd(cwd, sizeof(cwd)))
        return strdup(path);
    return asprintf(&result, "%s/%s", cwd, path) < 0 ? NULL : result;
}

static int set_sink(const char *variable, const char *to)
{
    struct address address;
    const char *error;

    if (address_parse(to, &address, &error) != 0) {
        char *path = strchr(to, ':') ? NULL : absolute(to);
        int r = path ? address_parse(path, &address, &error) : -EINVAL;
        if (r == 0)
            r = setenv(variable, path, 1);
        free(path);
        return r == 0 ? 0 : complain(to, error);
    }
    if (address.type != ADDRESS_FILE || address.path[0] == '/')
        return setenv(variable, to, 1) == 0 ? 0 : complain(to, strerror(errno));
    char *path = absolute(address.path);
    int r = path ? setenv(variable, path, 1) : -1;
    free(path);
    return r == 0 ? 0 : complain(to, strerror(ENOMEM));
}

static int set_sets(const struct run *run)
{
    const char *before = getenv("SCOPE_SET");
    size_t length = before ? strlen(before) + 1 : 0;

    if (!run->set_count)
        return 0;
    for (unsigned i = 0; i < run->set_count; i++)
        length += strlen(run->sets[i]) + 1;
    char *value = malloc(length + 1), *at = value;
    if (!value)
        return complain("--set", strerror(ENOMEM));
    if (before && *before)
        at += sprintf(at, "%s\n", before);
    for (unsigned i = 0; i < run->set_count; i++)
        at += sprintf(at, "%s%s", run->sets[i], i + 1 < run->set_count ? "\n" : "");
    int r = setenv("SCOPE_SET", value, 1);
    free(value);
    return r == 0 ? 0 : complain("--set", strerror(errno));
}

/* What runs as one command is one trace: traces.processes is auto. */
static int set_mark(void)
{
    return setenv("SCOPE_RUN", "1", 1) == 0 ? 0 : complain("SCOPE_RUN", strerror(errno));
}

static int set_config(const struct run *run)
{
    if (!run->config)
        return 0;
    char *path = absolute(run->config);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    int r = fd < 0 ? complain(run->config, strerror(errno)) : 0;
    if (!r && setenv("SCOPE_CONFIG", path, 1) != 0)
        r = complain(run->config, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(path);
    return r;
}

static void print_trouble(void *context, const struct conf_trouble *t)
{
    (void)context;
    if (t->line)
        fprintf(stderr, "scope run: %s:%u:%u: %s\n", t->origin, t->line, t->column, t->text);
    else
        fprintf(stderr, "scope run: %s: %s\n", t->origin, t->text);
}

/*
 * A file that cannot be made is told of here, where somebody reads. A FIFO is not tried: its reader
 * would take that for the end.
 */
static void tell_unwritable(const char *to)
{
    struct address address;
    struct stat s;
    char why[512];

    if (!to || address_parse(to, &address, NULL) != 0 || address.type != ADDRESS_FILE ||
        (stat(address.path, &s) == 0 && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode)))
        return;
    if (doctor_probe(to, NULL, why, sizeof(why)) == FACT_NO)
        fprintf(stderr, "scope: %s will not be written: %s\n", to, why);
}

/* The configuration as the command will have it: troubles are told here, where somebody reads. */
static int look_at_conf(const struct run *run, bool *has_sink, bool *observed)
{
    struct passwd *user = getpwuid(geteuid());
    struct conf_input input = {
        .environ = environ,
        .executable = run->program,
        .arguments = run->command,
        .user = user ? user->pw_name : NULL,
        .uid = (uint32_t)geteuid(),
    };

    struct conf *conf = conf_load(&input, run->quiet ? NULL : print_trouble, NULL);
    if (!conf)
        return complain("configuration", strerror(ENOMEM));
    *has_sink = (conf->ndjson_to && *conf->ndjson_to) || (conf->statsd_to && *conf->statsd_to);
    for (unsigned i = 0; i < OTLP_SIGNALS && !conf->otlp_implicit; i++)
        *has_sink = *has_sink || conf->otlp[i].to;
    *observed = conf_observes(conf, &input);
    if (!run->quiet) {
        tell_unwritable(run->out ? NULL : conf->ndjson_to);
        tell_unwritable(conf->statsd_to);
    }
    conf_free(conf);
    return 0;
}

/* ------------------------------------------------------------------ the recording */

static int make_directories(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        int r = mkdir(path, 0700);
        *p = '/';
        if (r != 0 && errno != EEXIST && errno != EISDIR && errno != EROFS)
            return -errno;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

/* What stands in a directory's name: letters, digits and little else. */
static void plain_name(char *out, size_t size, const char *command)
{
    size_t n = 0;

    for (const char *p = base_name(command); *p && n + 1 < size; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || (n && strchr("._+-", *p));
        out[n++] = plain ? *p : '_';
    }
    out[n] = '\0';
}

/* A string of JSON from bytes of any kind. */
static json_t *json_bytes(const char *bytes)
{
    json_t *text = json_string(bytes);
    if (text)
        return text;
    char *copy = strdup(bytes);
    for (char *p = copy; p && *p; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    text = copy ? json_string(copy) : NULL;
    free(copy);
    return text;
}

static int write_description(const struct run *run, const char *start)
{
    char path[PATH_MAX + 16], host[256] = "", cwd[PATH_MAX] = "";
    json_t *command = json_array();

    for (char **a = run->command; *a; a++)
        json_array_append_new(command, json_bytes(*a));
    gethostname(host, sizeof(host) - 1);
    if (!getcwd(cwd, sizeof(cwd)))
        cwd[0] = '\0';
    json_t *all = json_pack("{s:o, s:o, s:s, s:i, s:s, s:s}", "command", command, "directory",
                            json_bytes(cwd), "start", start, "pid", (int)getpid(), "host", host,
                            "version", SCOPE_VERSION);
    snprintf(path, sizeof(path), "%s/run.json", run->directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : json_dumpfd(all, fd, JSON_INDENT(2)) != 0 ? -EIO : 0;
    if (fd >= 0 && write(fd, "\n", 1) != 1)
        r = -EIO;
    if (fd >= 0)
        close(fd);
    json_decref(all);
    return r;
}

static int start_recording(struct run *run)
{
    char state[PATH_MAX - 256], name[64], path[PATH_MAX + 32];
    char start[32], stamp[32];
    time_t now = time(NULL);
    struct tm utc, local;
    int r = 0;

    strftime(start, sizeof(start), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    if (run->out) {
        char *out = absolute(run->out);
        if (!out || strlen(out) >= sizeof(run->directory))
            return complain(run->out, strerror(ENAMETOOLONG));
        strcpy(run->directory, out);
        free(out);
    } else {
        r = recording_state_dir(state, sizeof(state));
        if (r)
            return complain("no place to record in: neither XDG_STATE_HOME nor HOME is set",
                            "say where with --out or --ndjson");
        plain_name(name, sizeof(name), run->command[0]);
        snprintf(run->directory, sizeof(run->directory), "%s/runs/%s-%s-%d", state, stamp, name,
                 (int)getpid());
    }
    r = make_directories(run->directory);
    if (r == 0)
        r = write_description(run, start);
    if (r != 0)
        return complain(run->directory, strerror(-r));
    snprintf(path, sizeof(path), "%s/telemetry.ndjson", run->directory);
    if (setenv("SCOPE_NDJSON_TO", path, 1) != 0 || setenv("SCOPE_NDJSON_FORMAT", "flat", 1) != 0)
        return complain(path, strerror(errno));
    if (!run->quiet)
        fprintf(stderr, "scope: recording to %s\n", run->directory);
    return 0;
}

/* The command did not start: nothing is left behind of what was made for it. */
static void drop_recording(const struct run *run)
{
    char path[PATH_MAX + 16];

    if (!run->directory[0])
        return;
    snprintf(path, sizeof(path), "%s/run.json", run->directory);
    unlink(path);
    rmdir(run->directory);
}

/* ------------------------------------------------------------------ run */

/* Says what the user would otherwise wonder about: why there is nothing to see. */
static void tell_unseen(const struct run *run, bool observed)
{
    struct stat s;
    const char *why = NULL;

    if (run->target == TARGET_STATIC)
        why = "is statically linked";
    else if (run->target == TARGET_FOREIGN)
        why = "is made for another machine or C library";
    else if (run->target == TARGET_UNWILLING)
        why = "has an AddressSanitizer that lets no library load before it";
    else if (stat(run->program, &s) == 0 && (s.st_mode & (S_ISUID | S_ISGID)) && geteuid() != 0)
        why = "runs with rights of its own (setuid or setgid)";
    else if (!observed)
        why = "is excluded by the configuration";
    if (why && !run->quiet)
        fprintf(stderr, "scope: %s %s: it is run and not observed\n", run->command[0], why);
}

static int find_command(struct run *run)
{
    run->target = target_find(run->command[0], getenv("PATH"), run->program, sizeof(run->program));
    if (run->target == TARGET_MISSING) {
        fprintf(stderr, "scope run: %s: %s\n", run->command[0],
                strchr(run->command[0], '/') ? strerror(ENOENT) : "command not found");
        return EXIT_NOT_FOUND;
    }
    if (run->target == TARGET_REFUSED) {
        fprintf(stderr, "scope run: %s: %s\n", run->command[0], strerror(EACCES));
        return EXIT_REFUSED;
    }
    return 0;
}

static int prepare(struct run *run)
{
    char library[PATH_MAX];
    bool has_sink = false, observed = true;
    int r;

    if ((r = find_command(run)) || (r = set_config(run)) || (r = set_mark()) ||
        (r = set_sets(run)))
        return r;
    if (run->otlp && (r = set_sink("SCOPE_OTLP_TO", run->otlp)))
        return r;
    if (run->ndjson && (r = set_sink("SCOPE_NDJSON_TO", run->ndjson)))
        return r;
    if (run->statsd && (r = set_sink("SCOPE_STATSD_TO", run->statsd)))
        return r;
    if ((r = look_at_conf(run, &has_sink, &observed)))
        return r;
    r = run_find_library(library, sizeof(library));
    if (r == -EINVAL)
        return complain(library, "LD_PRELOAD takes no path with a space or a colon in it");
    if (r)
        return complain("libscope.so",
                        "not found beside this command or in ../lib; SCOPE_LIBRARY may name it");
    tell_unseen(run, observed);
    if ((run->out || !has_sink) && (r = start_recording(run)))
        return r;
    if (!target_refuses(run->target) && run_preload(library) != 0)
        return complain(library, strerror(ENOMEM));
    return 0;
}

int cli_run(int argc, char **argv)
{
    static struct run run;

    int r = parse(&run, argc, argv);
    if (r)
        return r - 1;
    r = prepare(&run);
    if (r) {
        drop_recording(&run);
        return r;
    }
    execvp(run.command[0], run.command);
    r = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_REFUSED;
    fprintf(stderr, "scope run: %s: %s\n", run.command[0], strerror(errno));
    drop_recording(&run);
    return r;
}
