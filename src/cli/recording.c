/* Finds and reads recordings for the subcommands that show them. */
#include "cli/recording.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A line of ours is at most 256 KiB, one of OTLP a request. */
enum { LINE_MAX_BYTES = 16 * 1024 * 1024 };

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

/* ------------------------------------------------------------------ lines */

struct line {
    char *data; /* NUL-ended */
    size_t length, room;
    bool too_long;
};

static bool line_grow(struct line *line)
{
    size_t room = line->room ? line->room * 2 : 16 * 1024;
    char *data = room <= LINE_MAX_BYTES ? realloc(line->data, room) : NULL;

    if (data) {
        line->data = data;
        line->room = room;
    }
    return data != NULL;
}

/* The next line without its newline; false at the end. Of one that is too long, only that it is. */
static bool next_line(FILE *in, struct line *line)
{
    int c = EOF;

    line->length = 0;
    line->too_long = false;
    while ((c = getc_unlocked(in)) != EOF && c != '\n') {
        if (line->length + 2 > line->room && !line_grow(line))
            line->too_long = true;
        else
            line->data[line->length++] = (char)c;
    }
    if (line->data)
        line->data[line->length] = '\0';
    return c == '\n' || line->length;
}

static bool is_blank(const struct line *line)
{
    return !line->too_long && (!line->length || strspn(line->data, " \t\r") == line->length);
}

static int read_stream(FILE *in, recording_line *take, void *context, size_t *bad)
{
    struct line line = {0};

    while (next_line(in, &line)) {
        if (is_blank(&line))
            continue;
        json_error_t error;
        json_t *value =
            line.too_long ? NULL : json_loadb(line.data, line.length, JSON_ALLOW_NUL, &error);
        if (json_is_object(value))
            take(context, value, line.data);
        else
            ++*bad;
        json_decref(value);
    }
    free(line.data);
    return ferror(in) ? -EIO : 0;
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

/* ------------------------------------------------------------------ files */

/* How long the name is without the number of a rotated file, *number (0: none); 0: no file of ours.
 */
static size_t stem_of(const char *name, unsigned long *number)
{
    const char *const endings[] = {".ndjson", ".jsonl"};
    size_t length = strlen(name), stem = length;

    while (stem && name[stem - 1] >= '0' && name[stem - 1] <= '9')
        stem--;
    if (stem == length || !stem || name[stem - 1] != '.') {
        stem = length;
        *number = 0;
    } else {
        *number = strtoul(name + stem, NULL, 10);
        stem--;
    }
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t n = strlen(endings[i]);
        if (stem > n && !memcmp(name + stem - n, endings[i], n))
            return stem;
    }
    return 0;
}

static int is_ours(const struct dirent *entry)
{
    unsigned long number;

    return entry->d_name[0] != '.' && stem_of(entry->d_name, &number) > 0;
}

/* Rotated ones first, oldest first, so that the lines come in the order they were written. */
static int by_age(const struct dirent **a, const struct dirent **b)
{
    unsigned long x, y;
    size_t n = stem_of((*a)->d_name, &x), m = stem_of((*b)->d_name, &y);
    int order = memcmp((*a)->d_name, (*b)->d_name, n < m ? n : m);

    if (order || n != m)
        return order ? order : n < m ? -1 : 1;
    return x < y ? 1 : x > y ? -1 : 0;
}

static int read_directory(const char *path, recording_line *take, void *context, size_t *bad)
{
    struct dirent **names;
    char name[PATH_MAX];
    int count = scandir(path, &names, is_ours, by_age);
    int e = count < 0 ? -errno : count ? 0 : -ENOENT;

    for (int i = 0; i < count; i++) {
        int n = snprintf(name, sizeof(name), "%s/%s", path, names[i]->d_name);
        if (!e)
            e = (size_t)n < sizeof(name) ? read_file(name, take, context, bad) : -ENAMETOOLONG;
        free(names[i]);
    }
    if (count >= 0)
        free(names);
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
    return S_ISDIR(st.st_mode) ? read_directory(path, take, context, bad)
                               : read_file(path, take, context, bad);
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
