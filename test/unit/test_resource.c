/* The resource: what the conventions ask for, stable, and new for each fold. */
#include "fold_fixture.h"

#include <pwd.h>

#include "report/fold_process.h"

static void conventions(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct conf_pair pairs[] = {{"team", "blue"}, {"host.name", "mine"}};
    struct conf_pair tags[] = {{"env", "test"}};
    x->conf.attributes = (struct conf_pairs){pairs, 2};
    x->conf.tags = (struct conf_pairs){tags, 1};
    fixture_start(x);
    const struct resource *r = fold_resource(x->fold);
    struct attributes a = r->attributes;
    char name[4200] = "unknown_service:";
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n] = 0;
    strcat(name, strrchr(exe, '/') + 1);
    has_text(a, "service.name", name);
    has_text(a, "process.executable.path", exe);
    has_text(a, "process.executable.name", strrchr(exe, '/') + 1);
    has_text(a, "telemetry.sdk.name", "scope");
    has_text(a, "telemetry.sdk.language", "c");
    has_int(a, "process.pid", getpid());
    if (getppid()) /* the first of a pid namespace has none */
        has_int(a, "process.parent_pid", getppid());
    char directory[4096], space[64] = "";
    if (getcwd(directory, sizeof(directory)))
        has_text(a, "process.working_directory", directory);
    /* The number that the process has in its own pid namespace, if that is not the host's. */
    bool contained = readlink("/proc/self/ns/pid", space, sizeof(space) - 1) > 0 &&
                     strcmp(space, "pid:[4026531836]") != 0;
    assert_int_equal(find(a, "process.vpid") != NULL, contained);
    if (contained)
        has_int(a, "process.vpid", getpid());
    has_text(a, "telemetry.sdk.version", SCOPE_VERSION);
    has_text(a, "telemetry.distro.name", "scope");
    has_text(a, "telemetry.distro.version", SCOPE_VERSION);
    const struct passwd *user = getpwuid(geteuid());
    if (user)
        has_text(a, "process.owner", user->pw_name);
    has_text(a, "os.type", "linux");
    has_text(a, "team", "blue");
    has_text(a, "host.name", "mine"); /* what is configured replaces what was found */
    has_text(a, "env", "test");
    for (size_t i = 0; i < a.count; i++) /* unique */
        for (size_t k = i + 1; k < a.count; k++)
            assert_false(a.items[i].key.length == a.items[k].key.length &&
                         !memcmp(a.items[i].key.data, a.items[k].key.data, a.items[i].key.length));
    const struct attribute *created = find(a, "process.creation.time");
    assert_non_null(created);
    assert_int_equal(created->text.length, strlen("2024-01-02T03:04:05.678Z"));
    assert_ptr_equal(fold_resource(x->fold), r);
    assert_true(r->id != 0);
    fixture_free(x);
}

static void instance(void **state)
{
    (void)state;
    struct fixture *x = fixture_new(), *y = fixture_new();
    fixture_start(x);
    fixture_start(y);
    struct text a = find(fold_resource(x->fold)->attributes, "service.instance.id")->text;
    struct text b = find(fold_resource(y->fold)->attributes, "service.instance.id")->text;
    assert_int_equal(a.length, 36);
    assert_int_equal(a.data[14], '4');              /* version */
    assert_non_null(memchr("89ab", a.data[19], 4)); /* variant */
    assert_true(memcmp(a.data, b.data, 36) != 0);
    assert_true(fold_resource(x->fold)->id != fold_resource(y->fold)->id);
    char kept[37] = {0};
    memcpy(kept, a.data, 36);
    x->conf.service_name = (char[]){"shop"};
    fold_set_conf(x->fold, &x->conf); /* a reload is not a new instance */
    has_text(fold_resource(x->fold)->attributes, "service.instance.id", kept);
    has_text(fold_resource(x->fold)->attributes, "service.name", "shop");
    fixture_free(x);
    fixture_free(y);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void in_container(void **state)
{
    (void)state;
    static const char *const found[][2] = {
        {"0::/system.slice/docker-" ID ".scope\n", NULL},
        {"12:cpu:/docker/" ID "\n0::/\n", NULL},
        {"1:name=systemd:/kubepods/besteffort/podx/cri-containerd-" ID ".scope\n", NULL},
        {"/var/lib/docker/containers/" ID "/hostname", "containers/"},
        {"/containers/storage/overlay-containers/" ID "/userdata/hostname", "containers/"},
    };
    static const char *const none[][2] = {
        {"0::/\n", NULL},
        {"0::/" ID "0\n", NULL}, /* longer */
        {"0::/x" ID "\n", NULL},
        {"/var/lib/docker/overlay2/" ID "/diff", "containers/"},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(found) / sizeof(*found); i++)
        assert_true(text_is(container_find(found[i][0], strlen(found[i][0]), found[i][1]), ID));
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
        assert_int_equal(container_find(none[i][0], strlen(none[i][0]), none[i][1]).length, 0);
}

/* A process that sits in a directory that is gone says none: the name would be of another. */
static void directory_is_gone(void **state)
{
    (void)state;
    char name[] = "/tmp/test_resource_XXXXXX", back[4096];
    assert_non_null(getcwd(back, sizeof(back)));
    assert_non_null(mkdtemp(name));
    assert_int_equal(chdir(name), 0);
    assert_int_equal(rmdir(name), 0);
    struct fixture *x = fixture_new();
    fixture_start(x);
    assert_null(find(fold_resource(x->fold)->attributes, "process.working_directory"));
    fixture_free(x);
    assert_int_equal(chdir(back), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(conventions), cmocka_unit_test(instance),
                                       cmocka_unit_test(directory_is_gone),
                                       cmocka_unit_test(in_container)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
