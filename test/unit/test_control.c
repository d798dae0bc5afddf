/* The control file: what it says, and whose it must be. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "report/control.h"
#include "report/diagnostics.h"
#include "report/report.h"

static char directory[] = "/tmp/scope-control-XXXXXX";
static char file[64];
static struct conf conf = {.control = true, .control_dir = directory};

static void tell(const char *text, mode_t mode)
{
    static long step;
    struct timespec times[2];

    int fd = open(file, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    /* Each later than the one before, whatever the file system's clock resolves. */
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec += ++step;
    times[1] = times[0];
    assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void words(void **state)
{
    struct control c;

    (void)state;
    control_start(&c, &conf, 77, now_unix());
    assert_int_equal(control_look(&c), 0);
    tell("off\n", 0600);
    assert_int_equal(control_look(&c), CONTROL_OFF);
    assert_int_equal(control_look(&c), 0); /* once */
    tell("off\non\n", 0600);
    assert_int_equal(control_look(&c), CONTROL_ON);
    tell("reload \r\noff", 0600);
    assert_int_equal(control_look(&c), CONTROL_RELOAD | CONTROL_OFF);
    tell("nonsense\n\n", 0600);
    assert_int_equal(control_look(&c), 0);
    tell("", 0600);
    assert_int_equal(control_look(&c), 0);
}

static void others(void **state)
{
    struct control c;

    (void)state;
    control_start(&c, &conf, 77, now_unix());
    tell("off\n", 0620);
    assert_int_equal(control_look(&c), 0);
    tell("off\n", 0602);
    assert_int_equal(control_look(&c), 0);
    tell("off\n", 0644);
    assert_int_equal(control_look(&c), CONTROL_OFF);
    chmod(directory, 0777);
    tell("off\n", 0600);
    assert_int_equal(control_look(&c), 0);
    chmod(directory, 0700);
    if (geteuid() == 0) {
        tell("off\n", 0600);
        assert_int_equal(chown(file, 65534, 65534), 0);
        assert_int_equal(control_look(&c), 0);
    }
    unlink(file);
    assert_int_equal(symlink("/etc/hostname", file), 0);
    assert_int_equal(control_look(&c), 0);
    unlink(file);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_int_equal(control_look(&c), 0);
    unlink(file);
}

/* A number that was another process's: what that one was told is not for this one. */
static void older(void **state)
{
    struct control c;

    (void)state;
    tell("off\n", 0600);
    control_start(&c, &conf, 77, now_unix() + 3600 * 1000000000ull);
    assert_int_equal(control_look(&c), 0);
    control_after_fork(&c, 77, now_unix());
    assert_int_equal(control_look(&c), CONTROL_OFF);
    control_after_fork(&c, 78, now_unix());
    assert_int_equal(control_look(&c), 0);
}

static void none(void **state)
{
    struct conf off = {.control = false, .control_dir = directory};
    struct control c;

    (void)state;
    control_start(&c, &off, 77, now_unix());
    assert_int_equal(control_look(&c), 0);
}

static void reloads(void **state)
{
    (void)state;
    setenv("SCOPE_CONFIG", "/dev/null", 1);
    struct conf *fresh = control_reload();
    assert_non_null(fresh);
    assert_true(fresh->metrics_interval > 0);
    conf_free(fresh);
}

static char *read_all(const char *path)
{
    static char text[65536];

    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

static unsigned lines_of(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void tells(void **state)
{
    char path[64], long_text[2000];
    struct conf c = {.diagnostics_to = path, .diagnostics_level = DIAGNOSTICS_WARN};
    struct stat s;

    (void)state;
    diagnostics(DIAGNOSTICS_ERROR, "nowhere yet");
    snprintf(path, sizeof(path), "%s/diagnostics", directory);
    diagnostics_start(&c);
    diagnostics(DIAGNOSTICS_INFO, "not at this level");
    assert_int_equal(access(path, F_OK), -1);
    diagnostics(DIAGNOSTICS_WARN, "one\nline of %d", 7);
    diagnostics_trouble(NULL, &(struct conf_trouble){"file", 3, 4, "is wrong"});
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    diagnostics(DIAGNOSTICS_ERROR, "%s", long_text);
    const char *text = read_all(path);
    assert_int_equal(lines_of(text), 3);
    assert_non_null(strstr(text, "warn one line of 7\n"));
    assert_non_null(strstr(text, "warn file:3:4: is wrong\n"));
    assert_true(strlen(text) < 800);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    /* A flood: a few lines a second, the first of the next second says how many were left out. */
    for (int i = 0; i < 1000; i++)
        diagnostics(DIAGNOSTICS_ERROR, "again");
    assert_true(lines_of(read_all(path)) < 100);
    diagnostics_start(&(struct conf){0});
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(file, sizeof(file), "%s/77", directory);
    return 0;
}

static int end(void **state)
{
    char command[300];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words), cmocka_unit_test(others),  cmocka_unit_test(older),
        cmocka_unit_test(none),  cmocka_unit_test(reloads), cmocka_unit_test(tells),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
