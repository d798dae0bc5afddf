/*
 * Files as a sink: many processes on one file, rotation, renames by others, disks that are full,
 * FIFOs, lost privileges. Every line must be whole, and none lost that was reported as taken.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/report.h"
#include "transport/transport.h"

#define MS 1000000ull

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_transport_XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static const char *in_dir(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static struct transport *open_with(const char *path, uint64_t rotate, unsigned keep)
{
    struct address a;
    struct transport_options o = {.rotate_bytes = rotate,
                                  .rotate_keep = keep,
                                  .saved_stdout = -1,
                                  .saved_stderr = -1,
                                  .mode = 0600};

    assert_int_equal(address_parse(path, &a, NULL), 0);
    struct transport *t = transport_new(&a, &o);
    assert_non_null(t);
    return t;
}

static int send_text(struct transport *t, const char *text)
{
    return transport_send(t, text, strlen(text), now_mono() + 500 * MS);
}

static char *content(const char *path)
{
    static char data[1 << 20];
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        return NULL;
    ssize_t n = read(fd, data, sizeof(data) - 1);
    close(fd);
    data[n] = '\0';
    return data;
}

static void lines_are_appended_with_mode_0600(void **state)
{
    (void)state;
    const char *path = in_dir("log");
    mode_t umask_before = umask(0777);
    struct transport *t = open_with(path, 0, 0);
    struct stat s;

    assert_int_equal(send_text(t, "one\n"), 0);
    umask(umask_before);
    assert_int_equal(send_text(t, "two\nthree\n"), 0);
    assert_string_equal(content(path), "one\ntwo\nthree\n");
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0600);
    assert_false(transport_is_datagram(t));
    transport_free(t);

    t = open_with(path, 0, 0);
    assert_int_equal(send_text(t, "four\n"), 0);
    assert_string_equal(content(path), "one\ntwo\nthree\nfour\n");
    transport_free(t);
}

static void no_descriptor_of_it_outlives_exec(void **state)
{
    (void)state;
    struct transport *t = open_with(in_dir("cloexec"), 0, 0);

    assert_int_equal(send_text(t, "x\n"), 0);
    for (int fd = 3; fd < 64; fd++) {
        char link[64], to[256];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, to, sizeof(to) - 1);
        if (n < 0)
            continue;
        to[n] = '\0';
        if (strstr(to, "cloexec"))
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    transport_free(t);
}

static void a_relative_path_means_the_directory_of_the_start(void **state)
{
    (void)state;
    char before[256];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(dir), 0);
    struct transport *t = open_with("relative", 0, 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(send_text(t, "x\n"), 0);
    assert_string_equal(content(in_dir("relative")), "x\n");
    transport_free(t);
    assert_int_equal(chdir(before), 0);
}

static void a_line_that_somebody_left_open_is_ended_first(void **state)
{
    (void)state;
    const char *path = in_dir("torn");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "whole\ntorn", 10), 10);
    close(fd);
    struct transport *t = open_with(path, 0, 0);
    assert_int_equal(send_text(t, "next\n"), 0);
    assert_int_equal(send_text(t, "more\n"), 0);
    assert_string_equal(content(path), "whole\ntorn\nnext\nmore\n");
    transport_free(t);
}

/* Whoever wrote it was killed inside its write: it is taken back, however long; other text stays.
 */
static void a_line_of_ours_that_was_cut_off_is_taken_back(void **state)
{
    (void)state;
    static const struct {
        const char *before, *cut, *after;
    } cases[] = {
        {"whole\n", "{\"time\":1,\"sign", "whole\nnext\n"},
        {"", "{\"time\":1,\"sign", "next\n"},
        {"whole\n", "{\"time\":1}", "whole\n{\"time\":1}\nnext\n"},
        {"whole\n", "{\"tim", "whole\n{\"tim\nnext\n"},
        {"", "a note", "a note\nnext\n"},
    };
    char name[] = "cut0";
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++, name[3]++) {
        const char *path = in_dir(name);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        dprintf(fd, "%s%s", cases[i].before, cases[i].cut);
        close(fd);
        struct transport *t = open_with(path, 0, 0);
        assert_int_equal(send_text(t, "next\n"), 0);
        assert_string_equal(content(path), cases[i].after);
        transport_free(t);
    }
    for (int size = 4085; size < 4110; size++) { /* across the blocks it is looked at in */
        const char *path = in_dir("long");
        unlink(path);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        dprintf(fd, "whole\n{\"time\":%0*d", size - 8, 1);
        close(fd);
        struct transport *t = open_with(path, 0, 0);
        assert_int_equal(send_text(t, "next\n"), 0);
        assert_string_equal(content(path), "whole\nnext\n");
        transport_free(t);
    }
}

static void a_file_opened_in_time_needs_its_directory_no_more(void **state)
{
    (void)state;
    const char *path = in_dir("gone/file");
    assert_int_equal(mkdir(in_dir("gone"), 0700), 0);
    struct transport *t = open_with(path, 0, 0);
    transport_prepare(t);
    assert_int_equal(rename(in_dir("gone"), in_dir("elsewhere")), 0);
    assert_int_equal(send_text(t, "x\n"), 0);
    assert_string_equal(content(in_dir("elsewhere/file")), "x\n");
    transport_free(t);
}

static void a_renamed_or_removed_file_is_made_anew(void **state)
{
    (void)state;
    const char *path = in_dir("moved");
    struct transport *t = open_with(path, 0, 0);

    assert_int_equal(send_text(t, "1\n"), 0);
    assert_int_equal(rename(path, in_dir("moved.old")), 0);
    assert_int_equal(send_text(t, "2\n"), 0);
    assert_string_equal(content(path), "2\n");
    assert_string_equal(content(in_dir("moved.old")), "1\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(send_text(t, "3\n"), 0);
    assert_string_equal(content(path), "3\n");
    transport_free(t);
}

static void a_missing_directory_is_waited_for(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof(path), "%s/later/log", dir);
    struct transport *t = open_with(path, 0, 0);

    assert_int_equal(send_text(t, "1\n"), -EAGAIN);
    assert_string_equal(transport_reason(t), "open: no such file or directory");
    assert_int_equal(mkdir(in_dir("later"), 0700), 0);
    assert_int_equal(send_text(t, "1\n"), 0);
    assert_string_equal(content(path), "1\n");
    transport_free(t);
    t = open_with(dir, 0, 0);
    assert_int_equal(send_text(t, "1\n"), -EAGAIN);
    assert_string_equal(transport_reason(t), "open: is a directory");
    transport_free(t);
}

/* Renamed away, and the process may not create a new one: the old one is better than nothing. */
static void without_privileges_it_keeps_what_is_open(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    const char *path = in_dir("kept");
    pid_t child = fork();
    if (!child) {
        struct transport *t = open_with(path, 0, 0);
        if (send_text(t, "1\n") || seteuid(65534) || send_text(t, "2\n"))
            _exit(1);
        if (seteuid(0) || rename(path, in_dir("kept.1")) || seteuid(65534))
            _exit(2);
        _exit(send_text(t, "3\n") ? 3 : 0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_string_equal(content(in_dir("kept.1")), "1\n2\n3\n");
}

/* ------------------------------------------------------------------ rotation */

static void files_are_rotated_by_size(void **state)
{
    (void)state;
    const char *path = in_dir("rot");
    struct transport *t = open_with(path, 100, 3);
    char line[32];
    struct stat s;

    for (int i = 0; i < 60; i++) {
        snprintf(line, sizeof(line), "line %013d\n", i); /* 19 bytes: five to a file */
        assert_int_equal(send_text(t, line), 0);
    }
    assert_true(strstr(content(path), "0000055\n") && strstr(content(path), "0000059\n"));
    assert_non_null(strstr(content(in_dir("rot.1")), "0000050\n"));
    assert_non_null(strstr(content(in_dir("rot.3")), "0000044\n"));
    assert_int_equal(stat(in_dir("rot.4"), &s), -1);
    for (int i = 1; i <= 3; i++) {
        snprintf(line, sizeof(line), "rot.%d", i);
        assert_int_equal(stat(in_dir(line), &s), 0);
        assert_int_equal(s.st_size, 95);
        assert_int_equal(s.st_mode & 07777, 0600);
    }
    transport_free(t);
}

static void keeping_none_starts_over(void **state)
{
    (void)state;
    const char *path = in_dir("none");
    struct transport *t = open_with(path, 10, 0);
    struct stat s;

    assert_int_equal(send_text(t, "12345678\n"), 0);
    assert_int_equal(send_text(t, "abcdefgh\n"), 0);
    assert_string_equal(content(path), "abcdefgh\n");
    assert_int_equal(stat(in_dir("none.1"), &s), -1);
    transport_free(t);
}

static void rotation_follows_a_symbolic_link(void **state)
{
    (void)state;
    const char *path = in_dir("link");
    struct stat s;
    assert_int_equal(mkdir(in_dir("real"), 0700), 0);
    assert_int_equal(symlink("real/log", path), 0);
    struct transport *t = open_with(path, 10, 2);

    assert_int_equal(send_text(t, "12345678\n"), 0);
    assert_int_equal(send_text(t, "abcdefgh\n"), 0);
    assert_string_equal(content(in_dir("real/log")), "abcdefgh\n");
    assert_string_equal(content(in_dir("real/log.1")), "12345678\n");
    assert_int_equal(lstat(path, &s), 0);
    assert_true(S_ISLNK(s.st_mode));
    transport_free(t);
}

/* ------------------------------------------------------------------ many processes */

enum { WRITERS = 6, UNITS = 150, UNIT_MOST = 12 * 3020 };

static void write_units(const char *path, unsigned who, uint64_t rotate, unsigned keep)
{
    struct transport *t = open_with(path, rotate, keep);
    static char unit[65536];

    for (unsigned i = 0; i < UNITS; i++) {
        unsigned lines = (i * 7 + who) % 12 + 1;
        size_t n = 0;
        for (unsigned k = 0; k < lines; k++) {
            int width = (int)((i * 37 + k * 101) % 3000);
            n += (size_t)sprintf(unit + n, "<%u %u %u %0*d>\n", who, i, k, width, 0);
        }
        while (transport_send(t, unit, n, now_mono() + 1000 * MS) == -EAGAIN)
            ;
    }
    transport_free(t);
}

/* Counts the whole lines of one file into seen; false: a broken line, or one twice. */
static bool count_lines(const char *path, unsigned char seen[WRITERS][UNITS][12], unsigned *total)
{
    FILE *in = fopen(path, "r");
    static char line[8192];

    if (!in)
        return false;
    while (fgets(line, sizeof(line), in)) {
        unsigned who, i, k;
        int at = 0;
        if (sscanf(line, "<%u %u %u %n", &who, &i, &k, &at) != 3 || !at || who >= WRITERS ||
            i >= UNITS || k >= 12 || seen[who][i][k]++)
            return false;
        size_t zeros = strspn(line + at, "0"), width = (i * 37 + k * 101) % 3000;
        if (zeros != (width ? width : 1) || strcmp(line + at + zeros, ">\n"))
            return false;
        ++*total;
    }
    fclose(in);
    return true;
}

static unsigned expected(void)
{
    unsigned total = 0;

    for (unsigned who = 0; who < WRITERS; who++) {
        for (unsigned i = 0; i < UNITS; i++)
            total += (i * 7 + who) % 12 + 1;
    }
    return total;
}

static void run_writers(const char *path, uint64_t rotate, unsigned keep)
{
    pid_t child[WRITERS];

    for (unsigned i = 0; i < WRITERS; i++) {
        child[i] = fork();
        if (!child[i]) {
            write_units(path, i, rotate, keep);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        int status;
        waitpid(child[i], &status, 0);
        assert_int_equal(status, 0);
    }
}

static void many_processes_append_whole_lines(void **state)
{
    (void)state;
    static unsigned char seen[WRITERS][UNITS][12];
    const char *path = in_dir("shared");
    unsigned total = 0;

    run_writers(path, 0, 0);
    assert_true(count_lines(path, seen, &total));
    assert_int_equal(total, expected());
}

static void many_processes_rotate_and_lose_nothing(void **state)
{
    (void)state;
    static unsigned char seen[WRITERS][UNITS][12];
    const char *path = in_dir("turning");
    char name[160];
    unsigned total = 0, files = 0, longer = 0;
    struct stat s;

    run_writers(path, 200000, 1000);
    for (unsigned i = 0; i <= 1000; i++) {
        snprintf(name, sizeof(name), i ? "%s.%u" : "%s", path, i);
        if (stat(name, &s) < 0)
            break;
        /* Who did not get the lock in time appends without it, past the size: a unit each. */
        assert_in_range(s.st_size, 1, 200000 + WRITERS * UNIT_MOST);
        assert_true(count_lines(name, seen, &total));
        files++;
        longer += s.st_size > 200000;
    }
    assert_int_equal(total, expected());
    assert_true(files > 20);
    assert_true(longer <= files / 4);
}

/* Somebody renames the file again and again while they write. */
static void renames_under_many_processes_lose_nothing(void **state)
{
    (void)state;
    static unsigned char seen[WRITERS][UNITS][12];
    const char *path = in_dir("renamed");
    char name[160];
    unsigned total = 0, renamed = 0;
    int status;
    pid_t writers = fork();

    if (!writers) {
        run_writers(path, 0, 0);
        _exit(0);
    }
    while (waitpid(writers, &status, WNOHANG) == 0) {
        snprintf(name, sizeof(name), "%s.%u", path, renamed + 1);
        if (rename(path, name) == 0)
            renamed++;
        usleep(2000);
    }
    assert_int_equal(status, 0);
    for (unsigned i = 0; i <= renamed; i++) {
        snprintf(name, sizeof(name), i ? "%s.%u" : "%s", path, i);
        if (access(name, F_OK) == 0)
            assert_true(count_lines(name, seen, &total));
    }
    assert_true(renamed > 1);
    assert_int_equal(total, expected());
}

/* Without the lock (a stopped process has it) lines are still appended. */
static void a_held_lock_does_not_stop_it(void **state)
{
    (void)state;
    const char *path = in_dir("locked");
    struct transport *t = open_with(path, 0, 0);

    assert_int_equal(send_text(t, "1\n"), 0);
    int fd = open(path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(send_text(t, "2\n"), 0);
    close(fd);
    assert_string_equal(content(path), "1\n2\n");
    transport_free(t);
}

/* ------------------------------------------------------------------ no space */

static void a_full_device_takes_nothing(void **state)
{
    (void)state;
    struct transport *t = open_with("/dev/full", 0, 0);

    assert_int_equal(send_text(t, "1\n"), -EAGAIN);
    assert_string_equal(transport_reason(t), "write: no space left");
    assert_int_equal(transport_partial(t), 0);
    transport_free(t);
}

/* Sends units of 100 lines until no more go; then makes room and sends the rest. All lines whole.
 */
static void fill_up(const char *path, void (*make_room)(void))
{
    struct transport *t = open_with(path, 0, 0);
    static char unit[65536];
    unsigned number = 0;
    int r = 0;
    size_t n = 0, at = 0;

    for (unsigned i = 0; i < 100 && !r; i++) {
        for (unsigned k = 0, m = number; k < 100; k++)
            n = (k ? n : 0) + (size_t)sprintf(unit + (k ? n : 0), "%06u %0*d\n", m++, 500, 0);
        r = transport_send(t, unit, n, now_mono() + 100 * MS);
        if (!r)
            number += 100;
    }
    assert_int_equal(r, -EAGAIN);
    at = transport_partial(t);
    assert_true(at < n && at % 508 == 0);
    for (int i = 0; i < 3; i++) { /* nothing changes as long as it is full */
        assert_int_equal(transport_send(t, unit + at, n - at, now_mono() + 100 * MS), -EAGAIN);
        at += transport_partial(t);
    }
    char *so_far = content(path);
    assert_int_equal(so_far[strlen(so_far) - 1], '\n'); /* what was cut off has been taken back */

    make_room();
    assert_int_equal(transport_send(t, unit + at, n - at, now_mono() + 100 * MS), 0);
    number += 100;
    FILE *in = fopen(path, "r");
    char line[1024];
    unsigned seen = 0;
    while (fgets(line, sizeof(line), in)) {
        assert_int_equal(strlen(line), 508);
        assert_int_equal(atoi(line), seen++);
    }
    fclose(in);
    assert_int_equal(seen, number);
    transport_free(t);
}

static void remount_bigger(void)
{
    assert_int_equal(mount("none", in_dir("small"), "tmpfs", MS_REMOUNT, "size=4m"), 0);
}

static void a_full_file_system_keeps_lines_whole(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_dir("small"), 0700), 0);
    if (mount("none", in_dir("small"), "tmpfs", 0, "size=300k") < 0)
        skip();
    fill_up(in_dir("small/log"), remount_bigger);
    assert_int_equal(umount(in_dir("small")), 0);
}

static void lift_limit(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* SIGXFSZ would end the program: its default action is not for a sink to cause. */
static void a_size_limit_kills_nobody(void **state)
{
    (void)state;
    const char *path = in_dir("limited");
    pid_t child = fork();
    if (!child) {
        struct rlimit limit;
        signal(SIGXFSZ, SIG_DFL);
        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur =
            508 * 600; /* the last line that fits ends there: the next write is past it */
        setrlimit(RLIMIT_FSIZE, &limit);
        fill_up(path, lift_limit);
        sigset_t pending;
        sigpending(&pending);
        _exit(sigismember(&pending, SIGXFSZ));
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

/* ------------------------------------------------------------------ FIFOs */

static void a_fifo_never_blocks(void **state)
{
    (void)state;
    const char *path = in_dir("fifo");
    static char unit[60000], got[300000];
    size_t n = 0, have = 0, lines = 0;
    assert_int_equal(mkfifo(path, 0600), 0);
    struct transport *t = open_with(path, 0, 0);

    assert_int_equal(send_text(t, "1\n"), -EAGAIN); /* nobody reads */
    assert_string_equal(transport_reason(t), "open: nobody reads there, or it is a socket");
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    for (; n < sizeof(unit) - 400; lines++)
        n += (size_t)sprintf(unit + n, "%05zu %0*d\n", lines, (int)(lines * 13 % 300), 0);

    /* Fill it, then read slowly: the unit goes on where it stopped, line by line. */
    int r = transport_send(t, unit, n, now_mono() + 10 * MS);
    assert_int_equal(r, 0);
    r = transport_send(t, unit, n, now_mono() + 10 * MS);
    assert_int_equal(r, -EAGAIN);
    size_t at = transport_partial(t);
    for (int i = 0; i < 1000 && r == -EAGAIN; i++) {
        ssize_t k = read(reader, got + have, 5000);
        if (k > 0)
            have += (size_t)k;
        r = transport_send(t, unit + at, n - at, now_mono() + MS);
        at += r ? transport_partial(t) : 0;
    }
    assert_int_equal(r, 0);
    ssize_t k;
    while ((k = read(reader, got + have, 60000)) > 0)
        have += (size_t)k;
    assert_int_equal(have, 2 * n);
    assert_memory_equal(got, unit, n);
    assert_memory_equal(got + n, unit, n);

    close(reader);
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(send_text(t, "2\n"), -EAGAIN); /* and no signal */
    reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_int_equal(send_text(t, "3\n"), 0);
    assert_int_equal(read(reader, got, 10), 2);
    close(reader);
    transport_free(t);
}

/* A unit that stopped inside a line, and then never comes again: the line is ended first. */
static void a_line_that_was_given_up_is_ended(void **state)
{
    (void)state;
    const char *path = in_dir("fifo2");
    static char unit[200000], got[200000];
    assert_int_equal(mkfifo(path, 0600), 0);
    struct transport *t = open_with(path, 0, 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    memset(unit, 'x', sizeof(unit) - 1);
    unit[sizeof(unit) - 1] = '\n';

    assert_int_equal(transport_send(t, unit, sizeof(unit), now_mono() + 5 * MS), -EAGAIN);
    assert_int_equal(transport_partial(t), 0);
    assert_true(transport_moved(t));
    ssize_t n = read(reader, got, sizeof(got));
    assert_true(n > 4096 && !memchr(got, '\n', (size_t)n));
    assert_int_equal(send_text(t, "next\n"), 0);
    n = read(reader, got, sizeof(got));
    assert_int_equal(n, 6);
    assert_memory_equal(got, "\nnext\n", 6);
    close(reader);
    transport_free(t);
}

static void a_fork_forgets_without_closing(void **state)
{
    (void)state;
    struct transport *t = open_with(in_dir("forked"), 0, 0);
    assert_int_equal(send_text(t, "1\n"), 0);
    struct stat before[32], after;
    bool there[32];
    for (int fd = 0; fd < 32; fd++)
        there[fd] = fstat(fd, &before[fd]) == 0;
    transport_after_fork(t);
    for (int fd = 0; fd < 32; fd++) {
        assert_int_equal(fstat(fd, &after) == 0, there[fd]);
        if (there[fd])
            assert_int_equal(after.st_ino, before[fd].st_ino);
    }
    assert_int_equal(send_text(t, "2\n"), 0);
    assert_string_equal(content(in_dir("forked")), "1\n2\n");
    transport_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_appended_with_mode_0600),
        cmocka_unit_test(no_descriptor_of_it_outlives_exec),
        cmocka_unit_test(a_relative_path_means_the_directory_of_the_start),
        cmocka_unit_test(a_line_that_somebody_left_open_is_ended_first),
        cmocka_unit_test(a_line_of_ours_that_was_cut_off_is_taken_back),
        cmocka_unit_test(a_file_opened_in_time_needs_its_directory_no_more),
        cmocka_unit_test(a_renamed_or_removed_file_is_made_anew),
        cmocka_unit_test(a_missing_directory_is_waited_for),
        cmocka_unit_test(without_privileges_it_keeps_what_is_open),
        cmocka_unit_test(files_are_rotated_by_size),
        cmocka_unit_test(keeping_none_starts_over),
        cmocka_unit_test(rotation_follows_a_symbolic_link),
        cmocka_unit_test(many_processes_append_whole_lines),
        cmocka_unit_test(many_processes_rotate_and_lose_nothing),
        cmocka_unit_test(renames_under_many_processes_lose_nothing),
        cmocka_unit_test(a_held_lock_does_not_stop_it),
        cmocka_unit_test(a_full_device_takes_nothing),
        cmocka_unit_test(a_full_file_system_keeps_lines_whole),
        cmocka_unit_test(a_size_limit_kills_nobody),
        cmocka_unit_test(a_fifo_never_blocks),
        cmocka_unit_test(a_line_that_was_given_up_is_ended),
        cmocka_unit_test(a_fork_forgets_without_closing),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
