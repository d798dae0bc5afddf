/* Finds and reads recordings for the subcommands that show them. */
#include "cli/recording.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "telemetry.ndjson"

int recording_state_dir(char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n;

    if (state && state[0] == '/')
        n = snprintf(out, size, "%s/scope", state);
    else if (home && home[0] == '/')
        n = snprintf(out, size, "%s/.local/state/scope", home);
    else
        return -ENOENT;
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int recording_newest(char *out, size_t size)
{
    char state[PATH_MAX], runs[PATH_MAX + 8], best[NAME_MAX + 1] = "";
    struct timespec newest = {0, 0};
    int e = recording_state_dir(state, sizeof(state));
    if (e)
        return e;
    snprintf(runs, sizeof(runs), "%s/runs", state);
    DIR *dir = opendir(runs);
    if (!dir)
        return -errno;
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, 0) ||
            !S_ISDIR(st.st_mode))
            continue;
        if (st.st_ctim.tv_sec > newest.tv_sec ||
            (st.st_ctim.tv_sec == newest.tv_sec && st.st_ctim.tv_nsec >= newest.tv_nsec)) {
            newest = st.st_ctim;
            snprintf(best, sizeof(best), "%s", entry->d_name);
        }
    }
    closedir(dir);
    if (!best[0])
        return -ENOENT;
    int n = snprintf(out, size, "%s/%s", runs, best);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int read_stream(FILE *in, recording_line *take, void *context, size_t *bad)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, in)) >= 0) {
        size_t blank = strspn(line, " \t\r\n");
        if (blank == (size_t)length)
            continue;
        json_error_t error;
        json_t *value = json_loadb(line, (size_t)length, JSON_ALLOW_NUL, &error);
        if (json_is_object(value))
            take(context, value);
        else
            ++*bad;
        json_decref(value);
    }
    int e = ferror(in) ? -EIO : 0;
    free(line);
    return e;
}

static int read_file(const char *path, recording_line *take, void *context, size_t *bad)
{
    FILE *in = fopen(path, "re");
    if (!in)
        return -errno;
    int e = read_stream(in, take, context, bad);
    fclose(in);
    return e;
}

int recording_read(const char *path, recording_line *take, void *context, size_t *bad)
{
    struct stat st;
    *bad = 0;
    if (!strcmp(path, "-"))
        return read_stream(stdin, take, context, bad);
    if (stat(path, &st))
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return read_file(path, take, context, bad);

    /* Rotated ones first, oldest first, so that the lines come in the order they were written. */
    char name[PATH_MAX];
    unsigned rotated = 0;
    for (;; rotated++) {
        snprintf(name, sizeof(name), "%s/" FILE_NAME ".%u", path, rotated + 1);
        if (access(name, R_OK))
            break;
    }
    for (; rotated; rotated--) {
        snprintf(name, sizeof(name), "%s/" FILE_NAME ".%u", path, rotated);
        int e = read_file(name, take, context, bad);
        if (e)
            return e;
    }
    snprintf(name, sizeof(name), "%s/" FILE_NAME, path);
    return read_file(name, take, context, bad);
}

const char *line_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

double line_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : 0;
}

const json_t *line_object(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_object(v) ? v : NULL;
}
