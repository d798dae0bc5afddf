/* Standard output as a sink: what the program has there must not notice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "report/report.h"
#include "transport/transport.h"

#define MS 1000000ull

static struct transport *open_console(const char *url, int out, int err)
{
    struct address a;
    struct transport_options o = {.saved_stdout = out, .saved_stderr = err, .mode = 0600};

    assert_int_equal(address_parse(url, &a, NULL), 0);
    struct transport *t = transport_new(&a, &o);
    assert_non_null(t);
    return t;
}

static int send_text(struct transport *t, const char *text)
{
    return transport_send(t, text, strlen(text), now_mono() + 500 * MS);
}

static size_t numbered_lines(char *unit, size_t size)
{
    size_t n = 0;

    for (int i = 0; n < size - 400; i++)
        n += (size_t)sprintf(unit + n, "%05d %0*d\n", i, i * 13 % 300, 0);
    return n;
}

/* Fills what is there, then reads and goes on: every byte must come once, and nothing may block. */
static void exact_through_a_full(int writer, int reader)
{
    static char unit[60000], got[1 << 20], want[1 << 20];
    size_t n = numbered_lines(unit, sizeof(unit)), have = 0, wanted = 0, at = 0;
    struct transport *t = open_console("stdout", writer, -1);
    bool was_full = false;
    int r;

    fcntl(reader, F_SETFL, O_NONBLOCK);
    int flags = fcntl(writer, F_GETFL);
    for (int i = 0; i < 8; i++) {
        memcpy(want + wanted, unit, n);
        wanted += n;
        at = 0;
        while ((r = transport_send(t, unit + at, n - at, now_mono() + MS)) == -EAGAIN) {
            was_full = true;
            at += transport_partial(t);
            ssize_t k = read(reader, got + have, 7000);
            have += k > 0 ? (size_t)k : 0;
        }
        assert_int_equal(r, 0);
    }
    ssize_t k;
    while ((k = read(reader, got + have, 9000)) > 0)
        have += (size_t)k;
    assert_true(was_full);
    assert_int_equal(have, wanted);
    assert_memory_equal(got, want, wanted);
    assert_int_equal(fcntl(writer, F_GETFL), flags); /* the program's flags are as they were */
    assert_false(flags & O_NONBLOCK);
    transport_free(t);
}

static void a_full_pipe_is_waited_for_in_turns(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(pipe(p), 0);
    exact_through_a_full(p[1], p[0]);
    close(p[0]);
    close(p[1]);
}

static void a_full_socket_is_waited_for_in_turns(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
    exact_through_a_full(p[1], p[0]);
    close(p[0]);
    close(p[1]);
}

static void a_terminal_is_waited_for_in_turns(void **state)
{
    (void)state;
    int master, slave;
    struct termios raw;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    exact_through_a_full(slave, master);
    close(master);
    close(slave);
}

/* As another user the pipe cannot be opened again: the program's own description is used, asked
 * first. */
static void without_a_description_of_its_own_it_still_never_blocks(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (!child) {
        int p[2];
        if (pipe(p) || setgid(65534) || setuid(65534))
            _exit(9);
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
        if (open(path, O_WRONLY | O_NONBLOCK) >= 0)
            _exit(8); /* this kernel allows it: nothing is tested here */
        alarm(20);
        exact_through_a_full(p[1], p[0]);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 8)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The program's offset in a file is shared: our lines go behind its own, and its own behind ours.
 */
static void a_file_is_shared_with_the_program(void **state)
{
    (void)state;
    char path[] = "/tmp/test_console_XXXXXX", got[64] = "";
    int fd = mkstemp(path), kept = dup(fd);
    struct transport *t = open_console("stderr", -1, kept);

    assert_int_equal(write(fd, "program 1\n", 10), 10);
    assert_int_equal(send_text(t, "ours\n"), 0);
    assert_int_equal(write(fd, "program 2\n", 10), 10);
    assert_int_equal(pread(fd, got, sizeof(got), 0), 25);
    assert_string_equal(got, "program 1\nours\nprogram 2\n");
    transport_free(t);
    assert_int_equal(fcntl(kept, F_GETFD), 0); /* the duplicate is not ours to close */
    close(kept);
    close(fd);
    unlink(path);
}

static void a_reader_that_went_away_raises_no_signal(void **state)
{
    (void)state;
    int p[2];
    sigset_t pending;
    assert_int_equal(pipe(p), 0);
    signal(SIGPIPE, SIG_DFL);
    struct transport *t = open_console("stdout", p[1], -1);
    assert_int_equal(send_text(t, "1\n"), 0);
    close(p[0]);
    assert_int_equal(send_text(t, "2\n"), -EAGAIN);
    assert_string_equal(transport_reason(t), "write: the other end is closed");
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    transport_free(t);
    close(p[1]);
}

/* A SIGPIPE of the program's own, which it has blocked, must still be there afterwards. */
static void the_programs_own_signal_is_left_to_it(void **state)
{
    (void)state;
    int p[2];
    sigset_t block, pending;
    assert_int_equal(pipe(p), 0);
    struct transport *t = open_console("stdout", p[1], -1);
    assert_int_equal(send_text(t, "1\n"), 0);
    close(p[0]);
    sigemptyset(&block);
    sigaddset(&block, SIGPIPE);
    sigprocmask(SIG_BLOCK, &block, NULL);
    raise(SIGPIPE);
    assert_int_equal(send_text(t, "2\n"), -EAGAIN);
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGPIPE));
    struct timespec none = {0, 0};
    assert_int_equal(sigtimedwait(&block, NULL, &none), SIGPIPE);
    sigprocmask(SIG_UNBLOCK, &block, NULL);
    transport_free(t);
    close(p[1]);
}

/* The program closed the number, and opened something else under it. */
static void a_number_that_was_reused_is_not_written_to(void **state)
{
    (void)state;
    int p[2];
    char path[] = "/tmp/test_console_XXXXXX", got[8];
    assert_int_equal(pipe(p), 0);
    struct transport *t = open_console("stdout", p[1], -1);
    assert_int_equal(send_text(t, "1\n"), 0);
    int file = mkstemp(path);
    assert_int_equal(dup2(file, p[1]), p[1]);
    assert_int_equal(send_text(t, "2\n"), -EAGAIN);
    assert_string_equal(transport_reason(t), "the program closed it");
    assert_int_equal(pread(file, got, sizeof(got), 0), 0);
    assert_int_equal(read(p[0], got, sizeof(got)), 2);
    assert_int_equal(read(p[0], got, sizeof(got)), 0); /* and we do not keep the pipe open */
    transport_free(t);
    close(p[0]);
    close(p[1]);
    close(file);
    unlink(path);

    t = open_console("stdout", -1, -1);
    assert_int_equal(send_text(t, "3\n"), -EAGAIN);
    transport_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_pipe_is_waited_for_in_turns),
        cmocka_unit_test(a_full_socket_is_waited_for_in_turns),
        cmocka_unit_test(a_terminal_is_waited_for_in_turns),
        cmocka_unit_test(without_a_description_of_its_own_it_still_never_blocks),
        cmocka_unit_test(a_file_is_shared_with_the_program),
        cmocka_unit_test(a_reader_that_went_away_raises_no_signal),
        cmocka_unit_test(the_programs_own_signal_is_left_to_it),
        cmocka_unit_test(a_number_that_was_reused_is_not_written_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
