/*
 * scope.yml: what is wrong in it is reported with its place, the rest is used; custom, tags; and
 * what is printed reads back.
 */
#include "test_conf.h"

#include <errno.h>

static struct conf_input bob(char *const *variables)
{
    return (struct conf_input){.environ = variables, .executable = "/opt/prog", .user = "bob"};
}

/* Each text gives exactly these reports; one good value beside them is always used. */
static void troubles(void **state)
{
    (void)state;
    static const char more[] = "\nevents.rate: 42\n";
    static const struct {
        const char *yaml, *reports;
    } cases[] = {
        {"", ""},
        {"# nothing\n---\n", ""},
        {"metrics:\nlogs: ~\nstatsd: {to: null, prefix: }\n", ""},
        {"enabled: maybe",
         "f:1:10: enabled: \"maybe\" is not a truth value; allowed: true or false (also on, off, "
         "yes, no, 1, 0)\n"},
        {"metrics:\n  cardinality_limit: 0",
         "f:2:22: metrics.cardinality_limit: \"0\" is out of range; allowed: a whole number from 1 "
         "to 1000000\n"},
        {"metrics: {cardinality_limit: many}",
         "f:1:30: metrics.cardinality_limit: \"many\" is not a whole number; allowed: a whole "
         "number from 1 to 1000000\n"},
        {"memory: {pool: 4 elephants}",
         "f:1:16: memory.pool: \"4 elephants\" is not a size; allowed: a size such as 4MiB or 64k, "
         "from 64KiB to 64MiB\n"},
        {"memory: {pool: 1GiB}", "f:1:16: memory.pool: \"1GiB\" is out of range; allowed: a size "
                                 "such as 4MiB or 64k, from 64KiB to 64MiB\n"},
        {"logs: {line_max: 2MiB}", "f:1:18: logs.line_max: \"2MiB\" is out of range; allowed: a "
                                   "size such as 4MiB or 64k, from 64 to 1MiB\n"},
        {"metrics: {interval: 10}",
         "f:1:21: metrics.interval: \"10\" is not a duration (a number and its unit); allowed: a "
         "duration such as 10s or 500ms, from 100ms to 1d\n"},
        {"metrics: {interval: 2d}", "f:1:21: metrics.interval: \"2d\" is out of range; allowed: a "
                                    "duration such as 10s or 500ms, from 100ms to 1d\n"},
        {"metrics: {temporality: deltas}", "f:1:24: metrics.temporality: \"deltas\" is none of the "
                                           "choices; allowed: auto, delta, cumulative\n"},
        {"resource: {service_name: [a]}", "f:1:26: resource.service_name: a list is of the wrong "
                                          "type; allowed: a text\n"},
        {"control: {dir: run/scope}",
         "f:1:16: control.dir: \"run/scope\" is not an absolute path; allowed: an absolute path\n"},
        {"ndjson: {to: tcp://host}",
         "f:1:14: ndjson.to: \"tcp://host\" has no port; allowed: /path, file:///path, stdout, "
         "stderr, tcp://host:port, tls://host:port, udp://host:port, unix:///path, "
         "unixgram:///path, "
         "http://host/path, https://host/path, http+unix:///socket:/path, off\n"},
        {"statsd: {tags: host.name}", "f:1:16: statsd.tags: \"host.name\" is of the wrong type; "
                                      "allowed: a list of texts\n"},
        {"statsd: {tags: [a, [b], '', {c: d}]}",
         "f:1:20: statsd.tags: a list cannot be an item; allowed: a list of texts\n"
         "f:1:25: statsd.tags: \"\" is an empty item; allowed: a list of texts\n"
         "f:1:29: statsd.tags: a mapping cannot be an item; allowed: a list of texts\n"},
        {"logs: {include: ['(a', b, '[z-a]']}",
         "f:1:18: logs.include: \"(a\" is not a regular expression: missing closing parenthesis at "
         "character 3\n"
         "f:1:27: logs.include: \"[z-a]\" is not a regular expression: range out of order in "
         "character class at character 4\n"},
        {"tags: [a]",
         "f:1:7: tags: a list is of the wrong type; allowed: a mapping of names to texts\n"},
        {"tags: {a: [b], c: d}",
         "f:1:11: tags: a list cannot be a value; allowed: a mapping of names to texts\n"},
        {"tags: {a: b, a: c}", "f:1:14: tags.a stands here twice, the first is used\n"},
        {"tags: {a: '${', b: '${x y}', c: '${1}'}",
         "f:1:11: \"${\" cannot be expanded; allowed: ${NAME}, ${NAME:-default}, $$\n"
         "f:1:20: \"${x y}\" cannot be expanded; allowed: ${NAME}, ${NAME:-default}, $$\n"
         "f:1:33: \"${1}\" cannot be expanded; allowed: ${NAME}, ${NAME:-default}, $$\n"},
        {"processes: {include: nginx}",
         "f:1:22: processes.include: \"nginx\" is of the wrong type; allowed: a list of globs, or "
         "of mappings with executable, argument, user\n"},
        {"processes:\n  include:\n  - {executabl: x}\n  - {}\n  - [x]\n  - {user: [x]}\n"
         "  - {user: x, user: y}\n  - ''\n",
         "f:3:6: unknown key \"executabl\" in a rule; allowed: a glob on the executable, or "
         "executable, argument, user\n"
         "f:4:5: a rule must say something; allowed: a glob on the executable, or executable, "
         "argument, user\n"
         "f:5:5: a rule must say something; allowed: a glob on the executable, or executable, "
         "argument, user\n"
         "f:6:12: user: a rule's value must be a text that is not empty\n"
         "f:7:15: \"user\" stands here twice; allowed: a glob on the executable, or executable, "
         "argument, user\n"
         "f:8:5: a rule must say something; allowed: a glob on the executable, or executable, "
         "argument, user\n"},
        {"metrcs: {enabled: off}",
         "f:1:1: unknown key \"metrcs\"; did you mean metrics?; allowed here: enabled, preset, "
         "processes, resource, tags, metrics, events, traces, logs, ndjson, otlp, tls, proxy, "
         "limits, "
         "statsd, memory, exit, control, diagnostics, custom\n"},
        {"metrics:\n  intervall: 1s\n",
         "f:2:3: unknown key \"metrics.intervall\"; did you mean metrics.interval?; allowed here: "
         "enabled, interval, temporality, cardinality_limit, exemplars, file, socket, http, name, "
         "process\n"},
        {"statsd: {line_max: 1}",
         "f:1:10: unknown key \"statsd.line_max\"; did you mean logs.line_max?; allowed here: to, "
         "format, prefix, tags, entity_id, external_data\n"},
        {"exit: {zzzzzzzz: 1}", "f:1:8: unknown key \"exit.zzzzzzzz\"; allowed here: bound\n"},
        {"logs: {rate: 1}\nlogs: {rate: 2}", "f:2:1: logs stands here twice, the first is used\n"},
        {"logs: {rate: 1, rate: 2}", "f:1:17: logs.rate stands here twice, the first is used\n"},
        {"logs: {rate: 1}\nlogs.rate: 2",
         "f:2:1: logs.rate stands here twice, the first is used\n"},
        {"logs: 5", "f:1:7: logs is of the wrong type; allowed: a mapping of console, syslog, "
                    "files, include, exclude, line_max, rate, continuation\n"},
        {"events: {file: 5}", "f:1:16: events.file.enabled: \"5\" is not a truth value; allowed: "
                              "true or false (also on, off, yes, no, 1, 0)\n"},
        {"tags: &a {x: y}\nresource: {attributes: *a}",
         "f:2:24: aliases are not supported: write the value out\n"},
        {"? [a, {b: c}]\n: {d: [e]}\nlogs: {rate: 1}", "f:1:3: a key must be a plain text\n"},
        {"*a : 1", "f:1:1: aliases are not supported: write the value out\n"},
        {"resource: {service_name: \"a\\0b\"}",
         "f:1:26: a text with a NUL character cannot be used\n"},
        {"custom: {match: x}", "f:1:9: custom is of the wrong type; allowed: a list of mappings "
                               "with `match` and `config`\n"},
        {"custom:\n- x\n- {match: x}\n- {config: {}}\n- {match: x, config: 5, what: 1}\n"
         "- {match: x, config: {logs: {rat: 1}, custom: []}}\n",
         "f:2:3: custom: an item must be a mapping with `match` and `config`\n"
         "f:3:3: custom: an item needs `match` and `config`\n"
         "f:4:3: custom: an item needs `match` and `config`\n"
         "f:5:25: custom: \"what\" is an unknown key; allowed: match, config\n"
         "f:5:22: custom: config must be a mapping of keys\n"
         "f:6:30: unknown key \"logs.rat\"; did you mean logs.rate?; allowed here: console, "
         "syslog, files, include, exclude, line_max, rate, continuation\n"
         "f:6:39: custom cannot stand inside custom\n"},
        {"custom: [{match: other, config: {logs: {rate: x}}}]",
         "f:1:47: logs.rate: \"x\" is not a whole number; allowed: a whole number from 0 to "
         "100000000\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[2000];
        struct reported r;
        snprintf(yaml, sizeof(yaml), "%s%s", cases[i].yaml, more);
        char *path = temporary_file(yaml, strlen(yaml));
        memset(&r, 0, sizeof(r));
        int errors = conf_check(path, keep_report, &r);
        assert_int_equal(errors, r.count);
        for (char *at; (at = strstr(r.all, strrchr(path, '/') + 1));) {
            *at = 'f';
            size_t n = strlen(strrchr(path, '/') + 1);
            memmove(at + 1, at + n, strlen(at + n) + 1);
        }
        if (strcmp(r.all, cases[i].reports) != 0)
            fail_msg("%s\n%s--- instead of\n%s", yaml, r.all, cases[i].reports);
        unlink(path);
        free(path);
        struct conf *c = load_text(yaml, bob(NULL), &r);
        if (c->events_rate != 42)
            fail_msg("%s: the rest was not used", yaml);
        conf_free(c);
    }
}

/* What is no YAML at all is not used by half. */
static void broken(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *report;
    } cases[] = {
        {"events.rate: 42\nlogs: {rate: 1\n", "f:3:1: not YAML, nothing of this file is used: "},
        {"events.rate: 42\nlogs:\n\trate: 1\n", "f:3:1: not YAML, nothing of this file is used: "},
        {"events.rate: 42\nlogs: \"a\n", "f:3:1: not YAML, nothing of this file is used: "},
        {"events.rate: 42\nlogs: *\n", "f:2:8: not YAML, nothing of this file is used: "},
        {"events.rate: 42\n@", "f:2:1: not YAML, nothing of this file is used: "},
        {"events.rate: 42\ntags: {a: \xff}", "f:1:1: not YAML, nothing of this file is used: "},
        {"[events.rate, 42]", "f:1:1: the file must be a mapping of keys\n"},
        {"word", "f:1:1: the file must be a mapping of keys\n"},
        {"a: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]\nevents.rate: 42",
         "f:1:19: nested too deeply: nothing of this file is used\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reported r;
        struct conf *c = load_text(cases[i].yaml, bob(NULL), &r);
        if (r.count != 1 || strncmp(r.all, cases[i].report, strlen(cases[i].report)) != 0)
            fail_msg("%s\n%s", cases[i].yaml, r.all);
        assert_int_equal(c->events_rate, 10000);
        conf_free(c);
    }
    struct reported r;
    struct conf *c = load_text("events.rate: 42\n---\nevents.rate: 43\n", bob(NULL), &r);
    assert_string_equal(r.all, "f:2:1: a second document is not read\n");
    assert_int_equal(c->events_rate, 42);
    conf_free(c);
}

static void bounded(void **state)
{
    (void)state;
    struct reported r;
    size_t size = 1 << 20;
    char *yaml = malloc(size + 1);
    /* Depth. */
    memset(yaml, '[', size);
    yaml[size] = 0;
    conf_free(load_text(yaml, bob(NULL), &r));
    assert_string_equal(r.all, "f:1:17: nested too deeply: nothing of this file is used\n");
    /* Number of values. */
    strcpy(yaml, "tags: [");
    for (size_t i = 7; i < size; i += 2)
        memcpy(yaml + i, "a,", 2);
    yaml[size] = 0;
    conf_free(load_text(yaml, bob(NULL), &r));
    assert_int_equal(r.count, 1);
    assert_non_null(strstr(r.all, "too many values in this file: nothing of it is used"));
    /* Aliases that would double and double again. */
    size_t n = (size_t)sprintf(yaml, "a: &a [x,x]\n");
    for (int i = 0; i < 24; i++)
        n += (size_t)sprintf(yaml + n, "%c: &%c [*%c,*%c]\n", 'b' + i, 'b' + i, 'a' + i, 'a' + i);
    conf_free(load_text(yaml, bob(NULL), &r));
    assert_true(r.count > 24 && r.count <= 100);
    /* Troubles. */
    n = 0;
    for (int i = 0; i < 500; i++)
        n += (size_t)sprintf(yaml + n, "key%d: 1\n", i);
    sprintf(yaml + n, "events.rate: 42\n");
    struct conf *c = load_text(yaml, bob(NULL), &r);
    assert_int_equal(r.count, 100);
    assert_non_null(strstr(r.all, "more troubles follow"));
    assert_int_equal(c->events_rate, 42);
    conf_free(c);
    /* Pairs, items, and globs that capture has no room for. */
    n = (size_t)sprintf(yaml, "tags: {");
    for (int i = 0; i < 200; i++)
        n += (size_t)sprintf(yaml + n, "t%d: v, ", i);
    n += (size_t)sprintf(yaml + n, "}\nstatsd: {tags: [");
    for (int i = 0; i < 1100; i++)
        n += (size_t)sprintf(yaml + n, "a%d, ", i);
    n += (size_t)sprintf(yaml + n, "]}\nlogs: {files: [");
    for (int i = 0; i < 300; i++)
        n += (size_t)sprintf(yaml + n, "/a%03d, ", i);
    sprintf(yaml + n, "]}\n");
    c = load_text(yaml, bob(NULL), &r);
    assert_int_equal(c->tags.count, 128);
    assert_int_equal(c->statsd_tags.count, 1000);
    assert_int_equal(c->logs_files.count, 170); /* 6 bytes each in 1023 */
    assert_int_equal(r.count, 72 + 1 + 1);
    conf_free(c);
    free(yaml);
}

static void tags(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_text(
        "tags:\n  plain: a b\n  number: 7\n  one: ${ONE}\n  two: x-${ONE}${TWO:-two}-y\n"
        "  dollar: 5$$ ${EMPTY:-}$\n  absent: ${ABSENT}\n  empty: ${EMPTY:-filled}\n  gone: ''\n",
        bob(ENVIRONMENT((char *)"ONE=1", (char *)"EMPTY=", (char *)"SCOPE_TAG_one=over",
                        (char *)"SCOPE_TAG_raw=${ONE}")),
        &r);
    static const char *const expected[][2] = {
        {"plain", "a b"},   {"number", "7"},     {"one", "over"},  {"two", "x-1two-y"},
        {"dollar", "5$ $"}, {"empty", "filled"}, {"raw", "${ONE}"}};
    assert_string_equal(r.all, "");
    assert_int_equal(c->tags.count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(c->tags.items[i].key, expected[i][0]);
        assert_string_equal(c->tags.items[i].value, expected[i][1]);
    }
    conf_free(c);
    /* A stronger source takes away what a weaker one gave. */
    c = load_text("resource: {attributes: {b: '', c: '${ABSENT}', d: 4}}",
                  bob(ENVIRONMENT((char *)"OTEL_RESOURCE_ATTRIBUTES=a=1,b=2,c=3")), &r);
    assert_int_equal(c->attributes.count, 2);
    assert_string_equal(c->attributes.items[0].key, "a");
    assert_string_equal(c->attributes.items[1].key, "d");
    conf_free(c);
    char long_value[5000], variable[5010];
    memset(long_value, 'x', sizeof(long_value));
    long_value[4999] = 0;
    snprintf(variable, sizeof(variable), "LONG=%s", long_value);
    c = load_text("tags: {a: '${LONG}', b: c}", bob(ENVIRONMENT(variable)), &r);
    assert_string_equal(r.all, "f:1:11: \"${LONG}\" becomes too long\n");
    assert_int_equal(c->tags.count, 1);
    conf_free(c);
}

static void custom(void **state)
{
    (void)state;
    static const char yaml[] = "custom:\n"
                               "- config: {logs: {rate: 1, line_max: 100}, tags: {first: yes}}\n"
                               "  match: {executable: prog}\n"
                               "- match: {executable: prog, user: alice}\n"
                               "  config: {logs: {rate: 2}, tags: {second: yes}}\n"
                               "- match: {user: bo*}\n"
                               "  config:\n"
                               "    logs.rate: 3\n"
                               "    events: {file: off}\n"
                               "    tags: {base: over}\n"
                               "- match: {argument: --quiet}\n"
                               "  config: {enabled: off}\n"
                               "tags: {base: under}\n"
                               "logs: {rate: 4, console: off}\n";
    char *const quiet[] = {(char *)"prog", (char *)"--quiet", NULL};
    struct reported r;
    struct conf_input input = bob(NULL);
    struct conf *c = load_text(yaml, input, &r);
    assert_string_equal(r.all, "");
    assert_int_equal(c->logs_rate, 3);
    assert_int_equal(c->logs_line_max, 100);
    assert_false(c->logs_console);
    assert_false(c->events_file.enabled);
    assert_true(c->enabled);
    assert_int_equal(c->tags.count, 2);
    assert_string_equal(c->tags.items[0].value, "over");
    assert_string_equal(c->tags.items[1].key, "first");
    conf_free(c);

    input.arguments = quiet;
    c = load_text(yaml, input, &r);
    assert_false(c->enabled);
    assert_false(conf_observes(c, &input));
    conf_free(c);

    input.executable = NULL; /* whose process it is, is not known */
    c = load_text(yaml, input, &r);
    assert_int_equal(c->logs_rate, 4);
    assert_true(c->enabled);
    conf_free(c);
}

/* scope config's output is a file that gives the same configuration. */
static void printed_reads_back(void **state)
{
    (void)state;
    char *first = NULL, *second = NULL;
    size_t size;
    struct reported r;
    struct conf *c = load_text(
        "tags: {\"a: b\": \"x # y\", c: \"line\\nbreak\\t\\e\\u2028\\uFEFF\\x85\", d: 'null', e: "
        "'$$'}\n"
        "resource: {service_name: \"'\\\"\\\\ é 😀\", attributes: {x: '~', y: '- z', z: '@'}}\n"
        "processes:\n  include: [a*, {executable: 'b=c', user: 'x, y'}, {user: +defaults}]\n"
        "  exclude: []\n"
        "metrics: {interval: 1500ms, temporality: cumulative}\n"
        "logs: {files: ['*'], include: ['^\\s{1,2}[a-z]$'], line_max: 65}\n"
        "memory: {pool: 3000000, queue: 2MiB}\nexit: {bound: 0}\nndjson: {to: 'unix://@a b'}\n",
        bob(ENVIRONMENT((char *)"SCOPE_TAG_env=1")), &r);
    assert_string_equal(r.all, "");
    FILE *out = open_memstream(&first, &size);
    assert_int_equal(conf_print(c, out), 0);
    fclose(out);
    struct conf *again = load_text(first, bob(NULL), &r);
    assert_string_equal(r.all, "");
    assert_string_equal(again->service_name, c->service_name);
    assert_int_equal(again->tags.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(again->tags.items[i].key, c->tags.items[i].key);
        assert_string_equal(again->tags.items[i].value, c->tags.items[i].value);
    }
    assert_int_equal(again->attributes.count, 3);
    assert_int_equal(again->include_count, 3);
    assert_string_equal(again->include[1].executable, "b=c");
    assert_string_equal(again->include[1].user, "x, y");
    assert_string_equal(again->include[2].user, "+defaults");
    assert_int_equal(again->exclude_count, 0);
    assert_int_equal(again->metrics_interval, 1500000000);
    assert_int_equal(again->temporality, TEMPORALITY_PREFER_CUMULATIVE);
    assert_string_equal(again->logs_include.items[0], c->logs_include.items[0]);
    assert_int_equal(again->memory_pool, 3000000);
    assert_int_equal(again->exit_bound, 0);
    assert_string_equal(again->ndjson_to, "unix://@a b");
    /* Once more, and but for the origins nothing changes. */
    out = open_memstream(&second, &size);
    conf_print(again, out);
    fclose(out);
    char *a = strchr(first, '\n') + 1, *b = strchr(second, '\n') + 1;
    while (*a && *b) {
        char *x = strstr(a, "  # "), *y = strstr(b, "  # ");
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        size_t before_a = x && x < a + n ? (size_t)(x - a) : n;
        size_t before_b = y && y < b + m ? (size_t)(y - b) : m;
        /* A quoted ` # ` is part of the value: the values with one are compared above. */
        if (before_a != before_b || memcmp(a, b, before_a) != 0)
            fail_msg("%.*s\n%.*s", (int)n, a, (int)m, b);
        a += n + 1;
        b += m + 1;
    }
    assert_true(!*a && !*b);
    free(first);
    free(second);
    conf_free(again);
    conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(troubles), cmocka_unit_test(broken), cmocka_unit_test(bounded),
        cmocka_unit_test(tags),     cmocka_unit_test(custom), cmocka_unit_test(printed_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
