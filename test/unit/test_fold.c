/* Records in, events out: files, descriptors, connections, names. */
#include "fold_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

static struct fixture *begin(void)
{
    struct fixture *x = fixture_new();
    fixture_start(x);
    x->region->lanes_high = 2; /* other lanes may hold sums */
    return x;
}

static void opened(struct fixture *x, int fd, uint32_t generation, const char *path, uint64_t end)
{
    put(x,
        (struct record){.type = RECORD_OPEN,
                        .op = OP_OPENAT,
                        .kind = KIND_FILE,
                        .start = end - MS,
                        .end = end,
                        .fd = fd,
                        .generation = generation,
                        .result = fd,
                        .a = O_RDWR | O_CREAT | O_CLOEXEC,
                        .b = 0644},
        path, strlen(path) + 1);
}

static void sums(struct fixture *x, unsigned type, int fd, uint32_t generation, uint64_t end,
                 struct totals t)
{
    t.fd = fd;
    t.generation = generation;
    put(x,
        (struct record){.type = (uint16_t)type,
                        .op = OP_CLOSE,
                        .kind = KIND_FILE,
                        .start = end - 10,
                        .end = end,
                        .fd = fd,
                        .generation = generation},
        &t, sizeof(t));
}

/* A pass in which enough time has gone by for closes to settle. */
static void pass(struct fixture *x)
{
    take(x, false);
    x->fold->fixed_now += SEC;
    take(x, false);
}

static void file(void **state)
{
    (void)state;
    struct fixture *x = begin();
    opened(x, 5, 1, "/tmp//a/./b", SEC);
    sums(x, RECORD_TOTALS, 5, 1, 2 * SEC,
         (struct totals){.read_bytes = 10, .read_ops = 2, .ticks = 5 * MS});
    sums(x, RECORD_CLOSE, 5, 1, 4 * SEC,
         (struct totals){
             .write_bytes = 7, .write_ops = 1, .other_ops = 3, .errors = 1, .ticks = 5 * MS});
    take(x, false);
    const struct log_record *e = event_at(x, "scope.file.open", 0);
    assert_non_null(e);
    has_text(e->attributes, "file.path", "/tmp/a/b");
    has_text(e->attributes, "scope.operation", "openat");
    has_text(e->attributes, "scope.open.flags", "O_RDWR|O_CREAT|O_CLOEXEC");
    has_text(e->attributes, "file.mode", "0644");
    has_int(e->attributes, "thread.id", 7);
    has_double(e->attributes, "scope.duration", 0.001);
    has_not(e->attributes, "error.type");
    assert_int_equal(e->time, EPOCH + SEC);
    assert_int_equal(e->severity, SEVERITY_INFO);
    assert_true(text_is(e->scope->name, "scope.file"));
    assert_null(event_at(x, "scope.file.close", 0)); /* waits for the other lanes */
    sums(x, RECORD_TOTALS, 5, 1, 3 * SEC, (struct totals){.read_bytes = 100, .read_ops = 1});
    opened(x, 6, 2, "/later", 6 * SEC);
    pass(x);
    e = event_at(x, "scope.file.close", 0);
    assert_non_null(e);
    has_text(e->attributes, "file.path", "/tmp/a/b");
    has_int(e->attributes, "scope.io.read.bytes", 110);
    has_int(e->attributes, "scope.io.read.operations", 3);
    has_int(e->attributes, "scope.io.write.bytes", 7);
    has_int(e->attributes, "scope.io.write.operations", 1);
    has_int(e->attributes, "scope.io.other.operations", 3);
    has_int(e->attributes, "scope.io.errors", 1);
    has_double(e->attributes, "scope.io.time", 0.01);
    has_double(e->attributes, "scope.duration", 3);
    has_text(e->attributes, "scope.close.reason", "close");
    assert_int_equal(e->time, EPOCH + 4 * SEC);
    /* too late: counted, not told */
    sums(x, RECORD_TOTALS, 5, 1, 3 * SEC, (struct totals){.read_ops = 1});
    assert_int_equal(x->fold->drops[DROP_STATE], 1);
    assert_int_equal(x->fold->descriptor_count, 1);
    take(x, true);
    assert_int_equal(event_count(x, "scope.file.close"), 1);
    fixture_free(x);
}

static void one_lane(void **state)
{
    (void)state;
    struct fixture *x = begin();
    x->region->lanes_high = 1;
    opened(x, 5, 1, "/a", SEC);
    sums(x, RECORD_CLOSE, 5, 1, 2 * SEC, (struct totals){0});
    take(x, false);
    assert_int_equal(event_count(x, "scope.file.close"), 1); /* nothing can still come */
    fixture_free(x);
}

static void failures(void **state)
{
    (void)state;
    struct fixture *x = begin();
    put(x,
        (struct record){
            .type = RECORD_OPEN, .op = OP_OPEN, .end = SEC, .fd = -1, .result = -ENOENT},
        "/none", 6);
    take(x, false);
    const struct log_record *e = event_at(x, "scope.file.open", 0);
    has_text(e->attributes, "error.type", "ENOENT");
    has_not(e->attributes, "scope.descriptor");
    assert_int_equal(x->fold->descriptor_count, 0);
    /* a close that failed is none; one that was interrupted is */
    opened(x, 5, 1, "/a", SEC);
    put(x,
        (struct record){.type = RECORD_CLOSE,
                        .op = OP_CLOSE,
                        .end = SEC,
                        .fd = 5,
                        .generation = 1,
                        .result = -EBADF},
        NULL, 0);
    assert_non_null(descriptor_latest(x->fold, 5));
    put(x,
        (struct record){.type = RECORD_CLOSE,
                        .op = OP_CLOSE,
                        .end = SEC,
                        .fd = 5,
                        .generation = 1,
                        .result = -EINTR},
        NULL, 0);
    assert_null(descriptor_latest(x->fold, 5));
    fixture_free(x);
}

/* The number is reused before the close of its former life is heard of. */
static void reuse(void **state)
{
    (void)state;
    struct fixture *x = begin();
    opened(x, 5, 1, "/old", SEC);
    opened(x, 5, 2, "/new", 2 * SEC);
    sums(x, RECORD_CLOSE, 5, 1, 2 * SEC + 1, (struct totals){.read_bytes = 1, .read_ops = 1});
    sums(x, RECORD_CLOSE, 5, 2, 3 * SEC, (struct totals){.read_bytes = 2, .read_ops = 1});
    pass(x);
    assert_int_equal(event_count(x, "scope.file.close"), 2);
    const struct log_record *e = event_at(x, "scope.file.close", 0);
    has_text(e->attributes, "file.path", "/old");
    has_int(e->attributes, "scope.io.read.bytes", 1);
    has_text(event_at(x, "scope.file.close", 1)->attributes, "file.path", "/new");
    fixture_free(x);
}

/* The close was dropped: no event of it, and no leak. */
static void lost_close(void **state)
{
    (void)state;
    struct fixture *x = begin();
    opened(x, 5, 1, "/old", SEC);
    opened(x, 5, 2, "/new", 2 * SEC);
    pass(x);
    pass(x);
    assert_int_equal(x->fold->descriptor_count, 1);
    assert_int_equal(event_count(x, "scope.file.close"), 0);
    fixture_free(x);
}

static void dup_shares(void **state)
{
    (void)state;
    struct fixture *x = begin();
    opened(x, 5, 1, "/a", SEC);
    put(x,
        (struct record){.type = RECORD_DUP,
                        .op = OP_DUP2,
                        .end = SEC,
                        .fd = 5,
                        .generation = 1,
                        .a = 9,
                        .b = 4},
        NULL, 0);
    sums(x, RECORD_CLOSE, 5, 1, 2 * SEC, (struct totals){.write_bytes = 1, .write_ops = 1});
    pass(x);
    assert_int_equal(event_count(x, "scope.file.close"), 0);
    sums(x, RECORD_CLOSE, 9, 4, 3 * SEC, (struct totals){.write_bytes = 2, .write_ops = 1});
    pass(x);
    assert_int_equal(event_count(x, "scope.file.close"), 1);
    has_int(event_at(x, "scope.file.close", 0)->attributes, "scope.io.write.bytes", 3);
    has_text(event_at(x, "scope.file.close", 0)->attributes, "file.path", "/a");
    fixture_free(x);
}

static void at_exit(void **state)
{
    (void)state;
    struct fixture *x = begin();
    opened(x, 5, 1, "/used", SEC);
    opened(x, 6, 2, "/idle", SEC);
    sums(x, RECORD_TOTALS, 5, 1, 4 * SEC, (struct totals){.write_bytes = 3, .write_ops = 1});
    take(x, true);
    assert_int_equal(event_count(x, "scope.file.close"), 1);
    const struct log_record *e = event_at(x, "scope.file.close", 0);
    has_text(e->attributes, "file.path", "/used");
    has_text(e->attributes, "scope.close.reason", "exit");
    has_double(e->attributes, "scope.duration", 3);
    take(x, true); /* told once */
    assert_int_equal(event_count(x, "scope.file.close"), 1);
    sums(x, RECORD_TOTALS, 5, 1, 5 * SEC, (struct totals){.write_bytes = 4, .write_ops = 1});
    take(x, true); /* what came later, alone */
    has_int(event_at(x, "scope.file.close", 1)->attributes, "scope.io.write.bytes", 4);
    fixture_free(x);
}

static void paths(void **state)
{
    (void)state;
    struct fixture *x = begin();
    put(x, (struct record){.type = RECORD_CHDIR, .op = OP_CHDIR, .end = SEC}, "/home/u", 8);
    static const char *const pairs[][2] = {
        {"/home/u/../v/x", "/home/v/x"},
        {"/home/u/../../x", "/x"},
        {"/home/u/../../../x", "/x"},
        {"/home/u/./a//b/", "/home/u/a/b"},
        {"/home/u/l/../x", "/home/u/l/../x"}, /* l may be a link */
        {"/other/../x", "/other/../x"},
        {"/home/ux/../x", "/home/ux/../x"},
        {"//", "/"},
        {"/", "/"},
        {"/.", "/"},
        {"/home/u/..", "/home"},
        {"/home/u/...", "/home/u/..."},
        {"/home/u/..x", "/home/u/..x"},
    };
    size_t n = sizeof(pairs) / sizeof(*pairs);
    for (size_t i = 0; i < n; i++)
        opened(x, (int)i + 10, (uint32_t)i + 10, pairs[i][0], SEC);
    take(x, false);
    for (size_t i = 0; i < n; i++)
        has_text(event_at(x, "scope.file.open", i)->attributes, "file.path", pairs[i][1]);
    fixture_free(x);
}

static void relative(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct {
        int32_t dirfd; /* as struct dir_path */
        uint32_t generation;
        char path[16];
    } at = {8, 3, "sub/file"};
    put(x,
        (struct record){.type = RECORD_OPEN,
                        .op = OP_OPEN,
                        .kind = KIND_DIRECTORY,
                        .end = SEC,
                        .fd = 8,
                        .generation = 3,
                        .result = 8},
        "/dir", 5);
    put(x,
        (struct record){.type = RECORD_OPEN,
                        .op = OP_OPENAT,
                        .kind = KIND_FILE,
                        .end = SEC,
                        .fd = 9,
                        .generation = 4,
                        .result = 9,
                        .flags = RECORD_DIRFD},
        &at, 8 + 9);
    at.generation = 99; /* not that life of the number */
    put(x,
        (struct record){.type = RECORD_OPEN,
                        .op = OP_OPENAT,
                        .kind = KIND_FILE,
                        .end = SEC,
                        .fd = 10,
                        .generation = 5,
                        .result = 10,
                        .flags = RECORD_DIRFD},
        &at, 8 + 9);
    take(x, false);
    has_text(event_at(x, "scope.file.open", 1)->attributes, "file.path", "/dir/sub/file");
    has_text(event_at(x, "scope.file.open", 2)->attributes, "file.path", "sub/file");
    fixture_free(x);
}

static void names_changed(void **state)
{
    (void)state;
    struct fixture *x = begin();
    uint64_t none = (uint64_t)(uint32_t)AT_FDCWD << 32 | (uint32_t)AT_FDCWD;
    struct record r = {.type = RECORD_PATH, .start = SEC, .end = SEC + MS, .b = none};
    r.op = OP_UNLINK;
    put(x, r, "/a", 3);
    r.op = OP_UNLINKAT;
    r.a = AT_REMOVEDIR;
    put(x, r, "/d", 3);
    r.op = OP_RENAME;
    put(x, r, "/a\0/b", 6);
    r.op = OP_SYMLINK;
    put(x, r, "../to\0/l", 9);
    r.op = OP_MKDIR;
    r.a = 0755;
    r.result = -EEXIST;
    put(x, r, "/d", 3);
    r.op = OP_STAT;
    put(x, r, "/looked/at", 11);
    take(x, false);
    has_text(event_at(x, "scope.file.delete", 0)->attributes, "file.path", "/a");
    has_text(event_at(x, "scope.file.delete_directory", 0)->attributes, "file.path", "/d");
    const struct log_record *e = event_at(x, "scope.file.rename", 0);
    has_text(e->attributes, "file.path", "/a");
    has_text(e->attributes, "scope.file.new_path", "/b");
    has_text(event_at(x, "scope.file.symlink", 0)->attributes, "file.path", "../to");
    has_text(event_at(x, "scope.file.symlink", 0)->attributes, "scope.file.link_path", "/l");
    e = event_at(x, "scope.file.create_directory", 0);
    has_text(e->attributes, "file.mode", "0755");
    has_text(e->attributes, "error.type", "EEXIST");
    assert_int_equal(x->log_count, 5);
    fixture_free(x);
}

static void filtered(void **state)
{
    (void)state;
    static char *out[] = {"^/proc/"}, *in[] = {"/keep"};
    struct fixture *x = fixture_new();
    x->conf.events_file.exclude = (struct conf_list){out, 1};
    x->conf.events_file.include = (struct conf_list){in, 1};
    fixture_start(x);
    opened(x, 5, 1, "/proc/keep", SEC);
    opened(x, 6, 2, "/a/keep", SEC);
    opened(x, 7, 3, "/a/other", SEC);
    for (int i = 0; i < 3; i++)
        sums(x, RECORD_CLOSE, 5 + i, (uint32_t)i + 1, SEC, (struct totals){.read_ops = 1});
    take(x, true);
    assert_int_equal(x->log_count, 2);
    has_text(event_at(x, "scope.file.close", 0)->attributes, "file.path", "/a/keep");
    fixture_free(x);
}

/* ------------------------------------------------------------------ connections */

static struct address_pair addresses(const char *local, unsigned local_port, const char *peer,
                                     unsigned peer_port)
{
    struct address_pair p = {0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    if (local) {
        inet_pton(AF_INET, local, &in.sin_addr);
        in.sin_port = htons((uint16_t)local_port);
        memcpy(p.local, &in, sizeof(in));
        p.local_length = sizeof(in);
    }
    if (peer) {
        inet_pton(AF_INET, peer, &in.sin_addr);
        in.sin_port = htons((uint16_t)peer_port);
        memcpy(p.peer, &in, sizeof(in));
        p.peer_length = sizeof(in);
    }
    return p;
}

static void client(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct batch b;
    struct address_pair p = addresses("10.0.0.1", 40000, "10.0.0.2", 443);
    struct record r = {.type = RECORD_SOCKET,
                       .op = OP_SOCKET,
                       .kind = KIND_TCP,
                       .end = SEC,
                       .fd = 4,
                       .generation = 1,
                       .a = AF_INET,
                       .b = SOCK_STREAM};
    put(x, r, NULL, 0);
    r = (struct record){.type = RECORD_CONNECT,
                        .op = OP_CONNECT,
                        .kind = KIND_TCP,
                        .start = 2 * SEC,
                        .end = 2 * SEC + 10,
                        .fd = 4,
                        .generation = 1,
                        .result = -EINPROGRESS};
    put(x, r, &p, sizeof(p));
    take(x, false);
    assert_int_equal(x->log_count, 0); /* the outcome is not known */
    r.type = RECORD_CONNECTED;
    r.start = r.end = 2 * SEC + 30 * MS;
    r.result = 0;
    put(x, r, &p, sizeof(p));
    take(x, false);
    const struct log_record *e = event_at(x, "scope.connection.open", 0);
    assert_non_null(e);
    has_text(e->attributes, "network.peer.address", "10.0.0.2");
    has_int(e->attributes, "network.peer.port", 443);
    has_text(e->attributes, "network.local.address", "10.0.0.1");
    has_text(e->attributes, "network.transport", "tcp");
    has_text(e->attributes, "network.type", "ipv4");
    has_text(e->attributes, "scope.connection.role", "client");
    has_double(e->attributes, "scope.duration", 0.03);
    fold_metrics(x->fold, 0, TEMPORALITY_DELTA, false, x->arena, &b);
    fold_metrics_taken(x->fold, 0, TEMPORALITY_DELTA);
    assert_int_equal(
        point_of(&b, "scope.socket.connections.opened", "network.transport", "tcp")->integer, 1);
    assert_int_equal(point_of(&b, "scope.socket.connections.open", NULL, NULL)->integer, 1);
    assert_int_equal(metric_of(&b, "scope.socket.connections.open")->temporality,
                     TEMPORALITY_CUMULATIVE);
    assert_false(metric_of(&b, "scope.socket.connections.open")->monotonic);
    const struct metric_point *d =
        point_of(&b, "scope.socket.connect.duration", "scope.connection.role", "client");
    assert_int_equal(d->histogram.count, 1);
    assert_true(fabs(d->histogram.sum - 0.03) < 1e-9);
    assert_non_null(d->histogram.values); /* one measurement, known itself */
    assert_true(fabs(d->histogram.values[0] - 0.03) < 1e-9);
    r = (struct record){.type = RECORD_END,
                        .op = OP_READ,
                        .kind = KIND_TCP,
                        .start = 3 * SEC,
                        .end = 3 * SEC,
                        .fd = 4,
                        .generation = 1};
    put(x, r, NULL, 0);
    sums(x, RECORD_CLOSE, 4, 1, 4 * SEC,
         (struct totals){.read_bytes = 5, .read_ops = 2, .write_bytes = 6, .write_ops = 1});
    pass(x);
    e = event_at(x, "scope.connection.close", 0);
    has_text(e->attributes, "scope.connection.closed_by", "peer");
    has_int(e->attributes, "scope.io.read.bytes", 5);
    has_int(e->attributes, "scope.io.write.bytes", 6);
    has_double(e->attributes, "scope.duration", 2);
    fold_metrics(x->fold, 0, TEMPORALITY_DELTA, false, x->arena, &b);
    fold_metrics_taken(x->fold, 0, TEMPORALITY_DELTA);
    assert_int_equal(point_of(&b, "scope.socket.connections.open", NULL, NULL)->integer, 0);
    assert_null(metric_of(&b, "scope.socket.connections.opened"));
    fixture_free(x);
}

static void refused(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct batch b;
    struct address_pair p = addresses(NULL, 0, "127.0.0.1", 1);
    put(x,
        (struct record){.type = RECORD_CONNECT,
                        .op = OP_CONNECT,
                        .kind = KIND_TCP,
                        .start = SEC,
                        .end = SEC + MS,
                        .fd = 4,
                        .generation = 1,
                        .result = -ECONNREFUSED},
        &p, sizeof(p));
    put(x,
        (struct record){.type = RECORD_CLOSE,
                        .op = OP_CLOSE,
                        .kind = KIND_TCP,
                        .end = 2 * SEC,
                        .fd = 4,
                        .generation = 1},
        NULL, 0);
    take(x, true);
    assert_int_equal(x->log_count, 1);
    has_text(event_at(x, "scope.connection.open", 0)->attributes, "error.type", "ECONNREFUSED");
    fold_metrics(x->fold, 0, TEMPORALITY_DELTA, false, x->arena, &b);
    fold_metrics_taken(x->fold, 0, TEMPORALITY_DELTA);
    assert_int_equal(
        point_of(&b, "scope.socket.connections.failed", "error.type", "ECONNREFUSED")->integer, 1);
    assert_null(metric_of(&b, "scope.socket.connections.opened"));
    assert_null(metric_of(&b, "scope.socket.connections.open"));
    fixture_free(x);
}

static void server(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct batch b;
    struct address_pair p = {.peer_length = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(5000)};
    inet_pton(AF_INET6, "::1", &in6.sin6_addr);
    memcpy(p.peer, &in6, sizeof(in6));
    put(x,
        (struct record){.type = RECORD_ACCEPT,
                        .op = OP_ACCEPT4,
                        .kind = KIND_TCP,
                        .start = 1,
                        .end = SEC,
                        .fd = 9,
                        .generation = 2,
                        .result = 9,
                        .a = 3,
                        .flags = RECORD_SERVER},
        &p, sizeof(p));
    put(x,
        (struct record){.type = RECORD_SHUTDOWN,
                        .op = OP_SHUTDOWN,
                        .kind = KIND_TCP,
                        .end = 2 * SEC,
                        .fd = 9,
                        .generation = 2,
                        .a = SHUT_WR},
        NULL, 0);
    put(x,
        (struct record){.type = RECORD_END,
                        .op = OP_READ,
                        .kind = KIND_TCP,
                        .end = 2 * SEC,
                        .fd = 9,
                        .generation = 2,
                        .result = -ECONNRESET},
        NULL, 0);
    sums(x, RECORD_CLOSE, 9, 2, 3 * SEC, (struct totals){0});
    take(x, true);
    const struct log_record *e = event_at(x, "scope.connection.open", 0);
    has_text(e->attributes, "scope.connection.role", "server");
    has_text(e->attributes, "network.peer.address", "::1");
    has_text(e->attributes, "network.type", "ipv6");
    has_not(e->attributes, "scope.duration"); /* how long accept waited says nothing */
    e = event_at(x, "scope.connection.close", 0);
    has_text(e->attributes, "scope.connection.closed_by", "local");
    has_text(e->attributes, "error.type", "ECONNRESET");
    fold_metrics(x->fold, 0, TEMPORALITY_DELTA, false, x->arena, &b);
    fold_metrics_taken(x->fold, 0, TEMPORALITY_DELTA);
    assert_int_equal(point_of(&b, "scope.socket.connections.accepted", NULL, NULL)->integer, 1);
    fixture_free(x);
}

static void dup_of_connection(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct address_pair p = addresses("1.2.3.4", 1, "5.6.7.8", 2);
    put(x,
        (struct record){.type = RECORD_ACCEPT,
                        .op = OP_ACCEPT,
                        .kind = KIND_TCP,
                        .end = SEC,
                        .fd = 9,
                        .generation = 2,
                        .result = 9},
        &p, sizeof(p));
    put(x,
        (struct record){.type = RECORD_DUP,
                        .op = OP_DUP,
                        .end = SEC,
                        .fd = 9,
                        .generation = 2,
                        .a = 10,
                        .b = 3,
                        .kind = KIND_TCP},
        NULL, 0);
    sums(x, RECORD_CLOSE, 9, 2, 2 * SEC, (struct totals){.read_bytes = 1, .read_ops = 1});
    pass(x);
    assert_int_equal(event_count(x, "scope.connection.close"), 0);
    sums(x, RECORD_CLOSE, 10, 3, 3 * SEC, (struct totals){.read_bytes = 2, .read_ops = 1});
    pass(x);
    has_int(event_at(x, "scope.connection.close", 0)->attributes, "scope.io.read.bytes", 3);
    has_text(event_at(x, "scope.connection.close", 0)->attributes, "scope.connection.closed_by",
             "local");
    fixture_free(x);
}

static void unix_sockets(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x.sock"};
    struct address_pair p = {.peer_length = sizeof(un.sun_family) + 12};
    memcpy(p.peer, &un, sizeof(un));
    struct record r = {.type = RECORD_CONNECT,
                       .op = OP_CONNECT,
                       .kind = KIND_UNIX_STREAM,
                       .start = SEC,
                       .end = SEC,
                       .fd = 4,
                       .generation = 1};
    put(x, r, &p, sizeof(p));
    memcpy(p.peer + 2, "\0abstract", 9);
    p.peer_length = 2 + 9;
    r.fd = 5;
    put(x, r, &p, sizeof(p));
    take(x, false);
    has_text(event_at(x, "scope.connection.open", 0)->attributes, "network.peer.address",
             "/run/x.sock");
    has_text(event_at(x, "scope.connection.open", 1)->attributes, "network.peer.address",
             "@abstract");
    has_not(event_at(x, "scope.connection.open", 0)->attributes, "network.peer.port");
    has_text(event_at(x, "scope.connection.open", 0)->attributes, "network.transport", "unix");
    fixture_free(x);
}

static void peer_filter(void **state)
{
    (void)state;
    static char *in[] = {"^10\\.0\\.0\\.2:443$"};
    struct fixture *x = fixture_new();
    x->conf.events_connection.include = (struct conf_list){in, 1};
    fixture_start(x);
    for (unsigned i = 1; i < 4; i++) {
        char address[16];
        snprintf(address, sizeof(address), "10.0.0.%u", i);
        struct address_pair p = addresses(NULL, 0, address, 443);
        put(x,
            (struct record){.type = RECORD_CONNECT,
                            .op = OP_CONNECT,
                            .kind = KIND_TCP,
                            .end = SEC,
                            .fd = (int)i,
                            .generation = i},
            &p, sizeof(p));
    }
    take(x, false);
    assert_int_equal(x->log_count, 1);
    has_text(x->logs[0].attributes, "network.peer.address", "10.0.0.2");
    fixture_free(x);
}

/* ------------------------------------------------------------------ names */

static size_t lookup(uint8_t *out, int error, const char *name, const char *answer)
{
    struct name_lookup head = {
        .error = error, .name_length = (uint16_t)strlen(name), .answers = answer != NULL};
    struct name_answer a = {.family = AF_INET};
    size_t n = sizeof(head);
    memcpy(out, &head, n);
    memcpy(out + n, name, head.name_length);
    n += (head.name_length + 3u) & ~3u;
    if (answer) {
        inet_pton(AF_INET, answer, a.address);
        memcpy(out + n, &a, sizeof(a));
        n += sizeof(a);
    }
    return n;
}

static void names(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct batch b;
    uint8_t room[256] = {0};
    struct record r = {
        .type = RECORD_NAME, .op = OP_GETADDRINFO, .start = SEC, .end = SEC + 20 * MS, .fd = -1};
    put(x, r, room, lookup(room, 0, "a.example", "192.0.2.1"));
    put(x, r, room, lookup(room, EAI_NONAME, "none.example", NULL));
    take(x, false);
    const struct log_record *e = event_at(x, "scope.name.lookup", 0);
    has_text(e->attributes, "dns.question.name", "a.example");
    has_double(e->attributes, "scope.duration", 0.02);
    const struct attribute *a = find(e->attributes, "dns.answers");
    assert_int_equal(a->type, VALUE_TEXTS);
    assert_int_equal(a->texts.count, 1);
    assert_true(text_is(a->texts.items[0], "192.0.2.1"));
    has_text(event_at(x, "scope.name.lookup", 1)->attributes, "error.type", "EAI_NONAME");
    fold_metrics(x->fold, 0, TEMPORALITY_DELTA, false, x->arena, &b);
    fold_metrics_taken(x->fold, 0, TEMPORALITY_DELTA);
    const struct metric_point *p =
        point_of(&b, "dns.lookup.duration", "dns.question.name", "a.example");
    assert_int_equal(p->histogram.count, 1);
    assert_int_equal(p->histogram.bound_count, 14);
    has_text(point_of(&b, "dns.lookup.duration", "dns.question.name", "none.example")->attributes,
             "error.type", "EAI_NONAME");
    fixture_free(x);
}

static const uint8_t question[] = {0x12, 0x34, 1,   0,   0,   1,   0,   0,   0, 0, 0, 0, 1, 'a',
                                   7,    'e',  'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1};
static const uint8_t answer[] = {0x12, 0x34, 0x81, 0x80, 0,   1,    0,   1,   0,   0,   0,
                                 0,    1,    'a',  7,    'e', 'x',  'a', 'm', 'p', 'l', 'e',
                                 0,    0,    1,    0,    1,   0xc0, 12,  0,   1,   0,   1,
                                 0,    0,    0,    60,   0,   4,    192, 0,   2,   9};

static void wire(struct fixture *x)
{
    struct record r = {.type = RECORD_DNS,
                       .op = OP_SENDTO,
                       .kind = KIND_UDP,
                       .start = SEC,
                       .end = SEC + 1,
                       .fd = 4,
                       .generation = 1};
    put(x, r, question, sizeof(question));
    r.op = OP_RECVFROM;
    r.a = 1;
    r.start = SEC + 4 * MS;
    r.end = SEC + 5 * MS;
    put(x, r, answer, sizeof(answer));
}

static void on_the_wire(void **state)
{
    (void)state;
    struct fixture *x = begin();
    wire(x);
    take(x, false);
    assert_int_equal(x->log_count, 0); /* libc may still say that this was its own */
    take(x, false);
    const struct log_record *e = event_at(x, "scope.name.lookup", 0);
    assert_non_null(e);
    has_text(e->attributes, "dns.question.name", "a.example");
    has_text(e->attributes, "dns.question.type", "A");
    has_text(e->attributes, "scope.operation", "dns");
    has_double(e->attributes, "scope.duration", 0.005);
    assert_true(text_is(find(e->attributes, "dns.answers")->texts.items[0], "192.0.2.9"));
    fixture_free(x);
}

static void part_of_libc(void **state)
{
    (void)state;
    struct fixture *x = begin();
    uint8_t room[256] = {0};
    wire(x);
    take(x, false);
    put(x,
        (struct record){
            .type = RECORD_NAME, .op = OP_GETADDRINFO, .start = SEC - 1, .end = SEC + 6 * MS},
        room, lookup(room, 0, "a.example", "192.0.2.9"));
    take(x, false);
    take(x, true);
    assert_int_equal(event_count(x, "scope.name.lookup"), 1);
    has_text(x->logs[0].attributes, "scope.operation", "getaddrinfo");
    fixture_free(x);
}

/* ------------------------------------------------------------------ what makes no sense */

static void nonsense(void **state)
{
    (void)state;
    struct fixture *x = begin();
    uint8_t junk[512];
    uint64_t seed = 12345;
    for (int i = 0; i < 200000; i++) {
        struct record r;
        uint8_t *p = (uint8_t *)&r;
        for (size_t k = 0; k < sizeof(r); k++)
            p[k] = (uint8_t)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 56);
        for (size_t k = 0; k < sizeof(junk); k++)
            junk[k] = (uint8_t)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 56);
        r.type %= RECORD_TYPES + 1;
        r.op %= OP_COUNT + 1;
        r.kind %= KIND_COUNT + 1;
        r.fd &= 0xff;
        r.generation &= 3;
        put(x, r, junk, seed % sizeof(junk));
        if (i % 1000 == 0) {
            x->log_count = 0;
            arena_reset(x->arena);
            take(x, false);
        }
    }
    arena_reset(x->arena);
    x->log_count = 0;
    take(x, true);
    assert_true(x->fold->drops[DROP_INVALID] > 0);
    fixture_free(x);
}

static void many_descriptors(void **state)
{
    (void)state;
    struct fixture *x = begin();
    x->conf.events_file.enabled = false;
    for (int i = 0; i < DESCRIPTORS_MAX + 100; i++)
        opened(x, i, (uint32_t)i + 1, "/x", SEC);
    assert_int_equal(x->fold->descriptor_count, DESCRIPTORS_MAX);
    assert_int_equal(x->fold->drops[DROP_STATE], 100);
    fixture_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file),
        cmocka_unit_test(one_lane),
        cmocka_unit_test(failures),
        cmocka_unit_test(reuse),
        cmocka_unit_test(lost_close),
        cmocka_unit_test(dup_shares),
        cmocka_unit_test(at_exit),
        cmocka_unit_test(paths),
        cmocka_unit_test(relative),
        cmocka_unit_test(names_changed),
        cmocka_unit_test(filtered),
        cmocka_unit_test(client),
        cmocka_unit_test(refused),
        cmocka_unit_test(server),
        cmocka_unit_test(dup_of_connection),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(peer_filter),
        cmocka_unit_test(names),
        cmocka_unit_test(on_the_wire),
        cmocka_unit_test(part_of_libc),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(many_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
