/*
 * scope doctor -- COMMAND, and scope doctor alone: what would happen, found out without running it.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/recording.h"
#include "cli/run.h"

enum { SCRIPTS_MAX = 5, WORDS_MAX = 4096, LOAD_MS = 5000 };

/* ------------------------------------------------------------------ the library */

static void keep_first_line(char *text)
{
    text[strcspn(text, "\n")] = '\0';
}

/* Starts a program that does nothing with the library in it. What it says on standard error. */
static bool run_true(const char *library, const char *to, char *said, size_t size)
{
    char preload[PATH_MAX + 16], sink[PATH_MAX + 32], program[PATH_MAX];
    char config[] = "SCOPE_CONFIG=/dev/null", control[] = "SCOPE_CONTROL_ENABLED=false";
    char *environment[] = {preload, sink, config, control, NULL};
    char *arguments[] = {program, NULL};
    int ends[2];
    size_t n = 0;
    ssize_t got;

    said[0] = '\0';
    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", library);
    snprintf(sink, sizeof(sink), "SCOPE_NDJSON_TO=%s", to);
    if (target_find("true", NULL, program, sizeof(program)) != TARGET_NATIVE) {
        snprintf(said, size, "there is no program \"true\" to try it with");
        return false;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        execve(program, arguments, environment);
        _exit(127);
    }
    close(ends[1]);
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    while (child > 0 && n + 1 < size && poll(&p, 1, LOAD_MS) > 0 &&
           (got = read(ends[0], said + n, size - n - 1)) > 0)
        n += (size_t)got;
    said[n] = '\0';
    close(ends[0]);
    if (child <= 0)
        return false;
    /* It has closed its end, or hangs: it would not otherwise be here. */
    int status = 0;
    for (int i = 0; i < LOAD_MS / 10 && waitpid(child, &status, WNOHANG) == 0; i++)
        poll(NULL, 0, 10);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    keep_first_line(said);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool has_reported(const char *path)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return strstr(text, "\"signal\":") != NULL;
}

static bool tell_loads(struct doctor *d, const char *library)
{
    char directory[] = "/tmp/scope-doctor-XXXXXX", to[64], said[512];

    if (!mkdtemp(directory)) {
        fact(d, FACT_NO, "library", "not tried: /tmp: %s", strerror(errno));
        return false;
    }
    snprintf(to, sizeof(to), "%s/telemetry.ndjson", directory);
    bool good = run_true(library, to, said, sizeof(said)) && !said[0];
    if (!good)
        fact(d, FACT_NO, "library", "it does not load: %s",
             said[0] ? said : "a program failed with it");
    else if (!(good = has_reported(to)))
        fact(d, FACT_NO, "library",
             "it loads, and a program that was tried with it reported nothing");
    else
        fact(d, FACT_OK, "library", "it loads: a program that was tried with it has reported");
    unlink(to);
    rmdir(directory);
    return good;
}

static bool tell_library(struct doctor *d)
{
    char library[PATH_MAX];

    int r = run_find_library(library, sizeof(library));
    if (r == -EINVAL)
        fact(d, FACT_NO, "library", "%s: LD_PRELOAD takes no path with a space or a colon in it",
             library);
    else if (r != 0)
        fact(d, FACT_NO, "library",
             "libscope.so is neither beside this command nor in ../lib; SCOPE_LIBRARY may name it");
    else
        fact(d, FACT_OK, "library", "%s", library);
    return r == 0 && tell_loads(d, library);
}

/* ------------------------------------------------------------------ what is executed in the end */

struct command {
    char path[PATH_MAX]; /* the executable: what /proc/PID/exe will say */
    char *words[WORDS_MAX + 1];
    unsigned count;
    bool failed;
};

static bool put_in_front(struct command *c, const char *word)
{
    char *copy = c->count < WORDS_MAX ? strdup(word) : NULL;

    if (!copy)
        return false;
    memmove(c->words + 1, c->words, (c->count + 1) * sizeof(c->words[0]));
    c->words[0] = copy;
    c->count++;
    return true;
}

static void drop_front(struct command *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        free(c->words[i]);
    memmove(c->words, c->words + n, (c->count - n + 1) * sizeof(c->words[0]));
    c->count -= n;
}

static bool find(struct doctor *d, struct command *c, const char *file)
{
    enum target t = target_find(file, getenv("PATH"), c->path, sizeof(c->path));

    if (t == TARGET_MISSING)
        fact(d, FACT_NO, "program", "%s: %s", file,
             strchr(file, '/') ? "no such file" : "no such command in PATH");
    else if (t == TARGET_REFUSED)
        fact(d, FACT_NO, "program", "%s: %s", file, strerror(EACCES));
    return t != TARGET_MISSING && t != TARGET_REFUSED;
}

/* The first line of a script; empty: it is an ELF file, or cannot be read. */
static void read_first_line(const char *path, char *line, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd >= 0 ? read(fd, line, size - 1) : -1;

    if (fd >= 0)
        close(fd);
    line[n > 0 ? n : 0] = '\0';
    if (n >= 4 && !memcmp(line, "\177ELF", 4))
        line[0] = '\0';
    else if (n >= 0 && strncmp(line, "#!", 2) != 0)
        snprintf(line, size, "#!/bin/sh"); /* as execvp does */
    keep_first_line(line);
}

/* `env -S "perl -w"`: what one line of a script could not say otherwise. */
static bool split_words(struct command *c)
{
    char text[256], *words[32], *state = NULL;
    unsigned n = 0;

    snprintf(text, sizeof(text), "%s", c->words[1] + 2);
    for (char *w = strtok_r(text, " \t", &state); w && n < 32; w = strtok_r(NULL, " \t", &state))
        words[n++] = w;
    drop_front(c, 2);
    while (n) {
        if (!put_in_front(c, words[--n]))
            return false;
    }
    return put_in_front(c, "env");
}

/* env executes what it is given: that is the program that somebody asks about. */
static bool through_env(struct doctor *d, struct command *c)
{
    const char *slash = strrchr(c->path, '/');
    unsigned i = 1;

    if (strcmp(slash ? slash + 1 : c->path, "env") != 0)
        return true;
    if (c->count > 1 && !strncmp(c->words[1], "-S", 2) && !split_words(c))
        return false;
    while (i < c->count && (c->words[i][0] == '-' || strchr(c->words[i], '=')))
        i++;
    if (i == c->count)
        return true;
    fact(d, FACT_NOTE, "program", "%s starts %s", c->path, c->words[i]);
    drop_front(c, i);
    return find(d, c, c->words[0]);
}

/* One step from a script to its interpreter. False: there is none to find. */
static bool through_script(struct doctor *d, struct command *c, bool *more)
{
    char line[256], script[PATH_MAX];

    read_first_line(c->path, line, sizeof(line));
    *more = line[0] != '\0';
    if (!*more)
        return true;
    snprintf(script, sizeof(script), "%s", c->path);
    char *interpreter = line + 2 + strspn(line + 2, " \t");
    char *argument = interpreter + strcspn(interpreter, " \t");
    if (*argument)
        *argument++ = '\0';
    argument += strspn(argument, " \t");
    for (size_t n = strlen(argument); n && (argument[n - 1] == ' ' || argument[n - 1] == '\t'); n--)
        argument[n - 1] = '\0';
    fact(d, FACT_NOTE, "program", "%s is a script, run by %s", script, interpreter);
    drop_front(c, 1);
    bool good = put_in_front(c, script) && (!*argument || put_in_front(c, argument)) &&
                put_in_front(c, interpreter);
    return good && find(d, c, interpreter) && through_env(d, c);
}

static bool follow(struct doctor *d, struct command *c, char **words)
{
    char real[PATH_MAX];
    bool more = true;

    for (; words[c->count] && c->count < WORDS_MAX; c->count++) {
        c->words[c->count] = strdup(words[c->count]);
        if (!c->words[c->count])
            return false;
    }
    if (!find(d, c, words[0]))
        return false;
    for (unsigned i = 0; i < SCRIPTS_MAX && more; i++) {
        if (!through_script(d, c, &more))
            return false;
    }
    if (realpath(c->path, real))
        strcpy(c->path, real);
    return true;
}

/* ------------------------------------------------------------------ the environment of a run */

static void tell_sinks(struct doctor *d, const struct conf *conf)
{
    char state[PATH_MAX], text[512], file[PATH_MAX + 16];

    if (doctor_sinks(d, conf, NULL))
        return;
    if (recording_state_dir(state, sizeof(state)) != 0) {
        fact(d, FACT_NO, "sink",
             "none is configured, and neither XDG_STATE_HOME nor HOME tells where to record");
        return;
    }
    /* What does not exist is made: the nearest directory that does must let us. */
    snprintf(file, sizeof(file), "%s", state);
    for (char *slash; access(file, F_OK) != 0 && (slash = strrchr(file, '/')) && slash != file;)
        *slash = '\0';
    bool good = access(file, W_OK | X_OK) == 0;
    snprintf(text, sizeof(text), ", which cannot be made: %.300s: %s", file, strerror(errno));
    fact(d, good ? FACT_NOTE : FACT_NO, "sink",
         "none is configured: scope run records below %s/runs%s; with LD_PRELOAD alone it goes "
         "nowhere",
         state, good ? "" : text);
}

static bool tell_program(struct doctor *d, const struct command *c)
{
    struct program program;
    char why[128];

    program_read(c->path, &program);
    bool good = program_facts(d, &program, c->path);
    const char *privileged = program_privileged(c->path, why, sizeof(why));
    if (privileged)
        fact(d, FACT_NO, "privileged",
             "it %s: the loader ignores LD_PRELOAD there, and the library leaves it alone",
             privileged);
    if (program.tls[0])
        fact(d, FACT_NOTE, "tls",
             "%s: TLS plaintext is read at its functions; its connections and their bytes are "
             "seen",
             program.tls);
    return good && !privileged;
}

void doctor_command(struct doctor *d, char **words, const struct doctor_options *o)
{
    static struct command c;

    bool found = follow(d, &c, words);
    bool good = found && tell_program(d, &c);
    good &= tell_library(d);
    struct conf_input input = {
        .environ = environ,
        .file = o->config,
        .sets = o->sets,
        .executable = found ? c.path : NULL,
        .arguments = c.words,
        .uid = geteuid(),
    };
    struct conf *conf = found ? doctor_conf(d, &input) : NULL;
    if (conf) {
        good &= doctor_rules(d, conf, &input);
        tell_sinks(d, conf);
    }
    d->observed = good && conf;
    conf_free(conf);
    drop_front(&c, c.count);
}

/* ------------------------------------------------------------------ the installation */

static void tell_control(struct doctor *d, const struct conf *conf)
{
    char directory[PATH_MAX];
    struct stat s;

    doctor_control_directory(conf, getenv("XDG_RUNTIME_DIR"), getuid(), directory,
                             sizeof(directory));
    if (!directory[0])
        fact(d, FACT_NOTE, "control",
             "off (control.enabled): processes cannot be asked or switched");
    else if (lstat(directory, &s) != 0)
        fact(d, FACT_OK, "control", "%s: not there; scope doctor PID makes it when it asks",
             directory);
    else if (!S_ISDIR(s.st_mode) || (s.st_uid != geteuid() && s.st_uid != 0) ||
             (s.st_mode & (S_IWGRP | S_IWOTH)))
        fact(d, FACT_NO, "control",
             "%s is no directory that only its user may write: processes ignore what is in it",
             directory);
    else
        fact(d, FACT_OK, "control", "%s", directory);
}

void doctor_installation(struct doctor *d, const struct doctor_options *o)
{
    struct conf_input input = {
        .environ = environ,
        .file = o->config,
        .sets = o->sets,
        .uid = geteuid(),
    };

    d->observed = tell_library(d);
    struct conf *conf = doctor_conf(d, &input);
    if (!conf)
        return;
    if (!conf->enabled)
        doctor_rules(d, conf, &input);
    tell_sinks(d, conf);
    tell_control(d, conf);
    conf_free(conf);
}
