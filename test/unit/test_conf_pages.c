/*
 * The committed scope.yml and docs/configuration.md are what the table generates, and the table
 * itself holds together.
 */
#include "test_conf.h"

#include "conf/write.h"

static char *generated(int (*write_page)(FILE *))
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(write_page(out), 0);
    fclose(out);
    return text;
}

static void same_as_committed(int (*write_page)(FILE *), const char *name)
{
    char path[1000], *text = generated(write_page), *committed = calloc(1, 1 << 20);
    const char *here = strstr(__FILE__, "test/unit/");
    assert_non_null(here);
    snprintf(path, sizeof(path), "%.*s%s", (int)(here - __FILE__), __FILE__, name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s cannot be read", path);
    assert_true(fread(committed, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    if (strcmp(text, committed) != 0)
        fail_msg("%s is not what the table generates: scope config %s > %s", path,
                 strstr(name, ".md") ? "reference" : "example", name);
    free(committed);
    free(text);
}

static void committed_pages(void **state)
{
    (void)state;
    same_as_committed(conf_write_example, "conf/scope.yml");
    same_as_committed(conf_write_reference, "docs/configuration.md");
}

/* The example as it is, and with every option uncommented, gives the defaults. */
static void example_is_the_defaults(void **state)
{
    (void)state;
    char *text = generated(conf_write_example), *bare = calloc(1, strlen(text) + 1);
    struct reported r;
    struct conf_input input = {NOWHERE};
    /* Where no sink is named there is one; the file names all of them, as off. */
    char *const no_sink[] = {(char *)"otlp.to=off", NULL};
    input.sets = no_sink;
    struct conf *defaults = load_with(NULL, no_sink, &r), *c = load_text(text, input, &r);
    input.sets = NULL;
    assert_string_equal(r.all, "");
    for (char *line = text, *to = bare; *line;) {
        size_t indent = strspn(line, " "), length = strcspn(line, "\n") + 1;
        memcpy(to, line, indent);
        to += indent;
        const char *rest = line + indent;
        if (rest[0] == '#' && (rest[1] != ' ' || rest[2] == ' '))
            rest++;
        size_t n = (size_t)(line + length - rest);
        memcpy(to, rest, n);
        to += n;
        line += length;
    }
    struct conf *all = load_text(bare, input, &r);
    assert_string_equal(r.all, "");
    size_t checked = 0;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        char *want = NULL, *got = NULL, *uncommented = NULL;
        size_t size;
        if (o->type == OPTION_SECTION || o->type == OPTION_CUSTOM)
            continue;
        FILE *out = open_memstream(&want, &size);
        write_value(out, defaults, o);
        fclose(out);
        out = open_memstream(&got, &size);
        write_value(out, c, o);
        fclose(out);
        out = open_memstream(&uncommented, &size);
        write_value(out, all, o);
        fclose(out);
        assert_string_equal(got, want);
        assert_string_equal(uncommented, want);
        if (o->type != OPTION_PAIRS && origin_get(all->origins, o).kind != ORIGIN_FILE)
            fail_msg("%s is not in the example", o->key);
        checked++;
        free(want);
        free(got);
        free(uncommented);
    }
    assert_true(checked > 50);
    conf_free(defaults);
    conf_free(c);
    conf_free(all);
    free(bare);
    free(text);
}

static void the_table(void **state)
{
    (void)state;
    char *reference = generated(conf_write_reference);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        char variable[48], cell[80];
        option_variable(o, variable);
        /* One variable never means two options. */
        for (size_t j = i + 1; j < option_count; j++) {
            char other[48];
            option_variable(&options[j], other);
            if (strcmp(variable, other) == 0)
                fail_msg("%s and %s have one variable", o->key, options[j].key);
        }
        assert_true(strlen(option_help(o)) > 5);
        /* A key stands behind its section. */
        char section[32];
        snprintf(section, sizeof(section), "%s", o->key);
        if (strrchr(section, '.')) {
            *strrchr(section, '.') = 0;
            const struct option *s = option_find(0, section);
            assert_true(s && s < o && s->type == OPTION_SECTION);
        }
        snprintf(cell, sizeof(cell), "| `%s` |", o->key);
        if (o->type == OPTION_SECTION)
            continue;
        if (!strstr(reference, cell))
            fail_msg("%s is not in the reference", o->key);
        if (o->type == OPTION_CUSTOM)
            continue;
        assert_ptr_equal(option_of_variable(variable + 6, strlen(variable) - 6), o);
        if (o->type == OPTION_COUNT || o->type == OPTION_SIZE || o->type == OPTION_DURATION)
            assert_true(o->low <= o->number && o->number <= o->high);
        assert_true(o->offset < sizeof(struct conf));
    }
    free(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(committed_pages),
                                       cmocka_unit_test(example_is_the_defaults),
                                       cmocka_unit_test(the_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
