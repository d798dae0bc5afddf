/*
 * Writes the pages that the table generates: the example scope.yml and the reference.
 */
#include "conf/write.h"

#include <errno.h>
#include <string.h>

enum { COLUMNS = 100 };

/* One text after another, in the table's order. */
#define OPTION(key, type, member, value, help, ...) help "\0"
static const char helps[] =
#include "conf/options.def"
    ;
#undef OPTION

const char *option_help(const struct option *o)
{
    const char *help = helps;
    for (const struct option *i = options; i < o; i++)
        help += strlen(help) + 1;
    return help;
}

/* Prose, each line behind `start`. */
static void write_wrapped(FILE *out, const char *start, const char *text)
{
    while (*text) {
        size_t room = COLUMNS - strlen(start), length = strlen(text);
        if (length > room) {
            length = room;
            while (length && text[length] != ' ')
                length--;
            if (!length)
                length = strcspn(text, " ");
        }
        fprintf(out, "%s%.*s\n", start, (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
}

/* ------------------------------------------------------------------ scope.yml */

static const char example_head[] =
    "# scope.yml: every option with its default. Take away the # in front of a key to set it.\n"
    "# docs/configuration.md has types, ranges and variables; `scope config check FILE` checks a\n"
    "# file, `scope config` shows what is in force and why. Found as $SCOPE_CONFIG, else\n"
    "# $XDG_CONFIG_HOME/scope/scope.yml, ~/.config/scope/scope.yml, /etc/scope/scope.yml.\n";

static void example_option(FILE *out, const struct conf *conf, const struct option *o, int indent)
{
    char start[16], key[64], more[16];
    snprintf(start, sizeof(start), "%*s# ", indent, "");
    snprintf(key, sizeof(key), "%*s#%s: ", indent, "", option_leaf(o));
    snprintf(more, sizeof(more), "%*s#  ", indent, "");
    write_wrapped(out, start, option_help(o));
    if (o->example[0])
        fprintf(out, "%*s# For example %s\n", indent, "", o->example);
    if (o->type == OPTION_CHOICE) {
        char allowed[64];
        option_allowed(o, allowed, sizeof(allowed));
        fprintf(out, "%*s# One of %s.\n", indent, "", allowed);
    }
    if (o->type == OPTION_CUSTOM)
        fputs("# For example [{match: {executable: nginx}, config: {logs: {console: false}}}]\n",
              out);
    write_value_wrapped(out, conf, o, key, more);
    fputc('\n', out);
}

int conf_write_example(FILE *out)
{
    struct conf_input nobody = {.privileged = true}; /* nothing but defaults */
    struct conf *conf = conf_load(&nobody, NULL, NULL);
    if (!conf)
        return -ENOMEM;
    fputs(example_head, out);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        int indent = 2 * option_depth(o);
        if (indent == 0)
            fputc('\n', out);
        if (o->type == OPTION_SECTION) {
            char start[16];
            snprintf(start, sizeof(start), "%*s# ", indent, "");
            write_wrapped(out, start, option_help(o));
            fprintf(out, "%*s%s:\n", indent, "", option_leaf(o));
        } else {
            example_option(out, conf, o, indent);
        }
    }
    conf_free(conf);
    return ferror(out) ? -EIO : 0;
}

/* ------------------------------------------------------------------ docs/configuration.md */

static const char reference_head[] =
    "# Configuration\n"
    "\n"
    "Generated from the option table (`scope config reference`); do not edit.\n"
    "\n"
    "## Where values come from\n"
    "\n"
    "Highest first; what is not set in one is looked for in the next:\n"
    "\n"
    "1. `--set KEY=VALUE` of `scope run` (which hands them on in the variable `SCOPE_SET`, one\n"
    "   `KEY=VALUE` to a line; the last one counts);\n"
    "2. variables `SCOPE_...`, and `SCOPE_TAG_name` for one tag;\n"
    "3. `scope.yml`: its `custom` items that match, the last one first, then the rest;\n"
    "4. the file that `OTEL_CONFIG_FILE` names, which silences the other `OTEL_...`;\n"
    "5. OpenTelemetry's variables `OTEL_...`;\n"
    "6. the defaults.\n"
    "\n"
    "What a `preset` sets is as strong as the source that names the preset, and weaker than all "
    "that\n"
    "this source or a stronger one says itself.\n"
    "\n"
    "`tags` and `resource.attributes` are merged key by key; all other lists replace each other.\n"
    "An empty variable is not set. Where no sink is named at all, OTLP goes to\n"
    "`http://localhost:4318`: `ndjson.to`, `statsd.to`, an endpoint of OTLP or a preset, named "
    "anywhere,\n"
    "switches that off; so does `otlp.to: off`.\n"
    "\n"
    "A process that runs with more rights than its caller (AT_SECURE: setuid, setgid, file\n"
    "capabilities) reads neither file nor variables: the defaults hold, and nothing is sent.\n"
    "\n"
    "## The file\n"
    "\n"
    "`SCOPE_CONFIG` (or `--config`) names it, by an absolute path; `/dev/null` means none. "
    "Otherwise\n"
    "the first that exists of these is read, and no other:\n"
    "\n"
    "1. `$XDG_CONFIG_HOME/scope/scope.yml`\n"
    "2. `$HOME/.config/scope/scope.yml`\n"
    "3. `/etc/scope/scope.yml`\n"
    "\n"
    "The current directory is never looked into. The first two must belong to the process's user "
    "or\n"
    "to root, and not be writable by everybody. A file is YAML, a regular file of 1 MiB at most,\n"
    "without aliases, nested no deeper than 16. Keys may be nested or dotted "
    "(`metrics.interval`).\n"
    "A key without a value keeps its default.\n"
    "\n"
    "Whatever is wrong is reported once, with file, line, column and what is allowed (to\n"
    "`diagnostics.to`; `scope config check FILE` prints it); the rest is used and the program "
    "runs.\n"
    "A file that is not YAML is not used at all, because half of it could mean something else. Of\n"
    "two equal keys the first is used.\n"
    "\n"
    "## Values\n"
    "\n"
    "- **truth**: `true`, `on`, `yes`, `1`, `false`, `off`, `no`, `0`, in any case.\n"
    "- **duration**: a number and one of `ns`, `us`, `ms`, `s`, `m`, `h`, `d`: `500ms`, `1.5s`.\n"
    "- **size**: bytes, or a number and one of `k`, `KiB`, `M`, `MiB`, `G`, `GiB` (of 1024), "
    "`kB`,\n"
    "  `MB`, `GB` (of 1000).\n"
    "- **glob**: `*` is any run of characters, slashes too; `?` is any one.\n"
    "- **regular expression**: PCRE2, found anywhere in the text unless anchored.\n"
    "- **rule** (about processes): a glob on the executable, or a mapping with `executable`,\n"
    "  `argument`, `user`, of which all that are given must match. A user is a number or a name "
    "in\n"
    "  `/etc/passwd`; those that only a directory service knows have just a number.\n"
    "- **lists** in variables and `--set` have `,` between the items (`\\,` is a comma in one), "
    "`[]`\n"
    "  is the empty list; pairs are `name=value`; a rule is a glob or\n"
    "  `executable=GLOB;argument=GLOB;user=GLOB`. `--set tags.name=value` sets one pair. The item\n"
    "  `+defaults` of a list stands for the items of its default.\n"
    "- **${NAME}** in a value of `tags`, `resource.attributes` or headers in the file is that\n"
    "  variable, `${NAME:-text}` the text where it is unset or empty; `$$` is `$`. A tag that\n"
    "  comes out empty is left out. Inside `{}` YAML wants quotes around it.\n"
    "- A section that has a key `enabled` can be switched by its own name: `events.file: off`.\n"
    "\n"
    "## Other values for some processes\n"
    "\n"
    "```yaml\n"
    "custom:\n"
    "  - match: {executable: nginx, user: www-data}\n"
    "    config:\n"
    "      logs: {rate: 20000}\n"
    "      tags: {tier: edge}\n"
    "  - match: {argument: \"--verbose\"}\n"
    "    config: {logs.console: off}\n"
    "```\n"
    "\n"
    "## Presets\n"
    "\n"
    "`preset` is one word for what a place to send to needs. It sets:\n"
    "\n"
    "- **collector**: `otlp.to` to `http://localhost:4318`.\n"
    "- **newrelic**: `otlp.to` to `https://otlp.nr-data.net`, the header `api-key` from\n"
    "  `NEW_RELIC_LICENSE_KEY`, delta temporality, exponential histograms, gzip, requests of "
    "900000\n"
    "  bytes, 64 attributes, values of 4095 characters.\n"
    "- **datadog**: `statsd.to` from `DD_DOGSTATSD_URL`, else `DD_AGENT_HOST` and\n"
    "  `DD_DOGSTATSD_PORT`, else `udp://127.0.0.1:8125`, in `dogstatsd`; `service.name`, the\n"
    "  attribute `deployment.environment.name` and the tag `env`, `service.version` and the tag\n"
    "  `version` from `DD_SERVICE`, `DD_ENV`, `DD_VERSION`;\n"
    "  logs and traces over OTLP to port 4318 of `DD_AGENT_HOST` or localhost; delta temporality.\n"
    "- **splunk**: `ndjson.format` to `splunk`, `ndjson.to` from `SPLUNK_HEC_URL` or\n"
    "  `https://localhost:8088/services/collector/event`, `ndjson.token` from `SPLUNK_HEC_TOKEN`.\n"
    "- **grafana**: `otlp.to` from `GRAFANA_OTLP_ENDPOINT`, the header `Authorization` from\n"
    "  `GRAFANA_INSTANCE_ID` and `GRAFANA_API_TOKEN`.\n"
    "\n"
    "## OpenTelemetry's variables\n"
    "\n"
    "Read as the specification has it: empty is unset, durations are whole milliseconds, enums "
    "are\n"
    "read in any case, what is wrong is told and passed over, and `OTEL_RESOURCE_ATTRIBUTES` or\n"
    "headers that cannot be decoded are left out whole. `OTEL_SERVICE_NAME` beats `service.name` "
    "in\n"
    "the attributes. The tables name the ones that are read. Besides: `OTEL_ENTITIES`, whose\n"
    "attributes become the resource's (`OTEL_RESOURCE_ATTRIBUTES` is stronger), and which OTLP "
    "tells\n"
    "as entities too. `OTEL_METRICS_EXPORTER` and so on list `otlp`\n"
    "and `none`; `console` is told and passed over, for the program's standard output is its own\n"
    "(`ndjson.to: stdout` is how to ask for it). `OTEL_TRACES_SAMPLER_ARG` counts only beside "
    "`OTEL_TRACES_SAMPLER`.\n"
    "\n"
    "Of the declarative file (an absolute path, `file_format` 1.x) these are taken: `disabled`,\n"
    "`log_level`, `resource`, `attribute_limits`, `propagator`; of the providers their processors\n"
    "(`batch`, `simple`), periodic readers, limits, `sampler` and `exemplar_filter`; of exporters\n"
    "`otlp_http`. `${NAME}`, `${env:NAME}` and `${NAME:-text}` are replaced. What "
    "belongs\n"
    "to SDKs alone is passed over; a value of the wrong type is told with its place.\n";

/* A cell of a table: its bars are escaped. */
static void write_cell(FILE *out, const char *text)
{
    for (; *text; text++)
        fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

static void reference_default(FILE *out, const struct conf *conf, const struct option *o)
{
    if (o->type == OPTION_MATCHES && o->number == LIST_LEFT_ALONE) {
        fputs("the list below", out);
        return;
    }
    fputc('`', out);
    write_value(out, conf, o);
    fputc('`', out);
}

static void reference_option(FILE *out, const struct conf *conf, const struct option *o)
{
    char variable[48], allowed[200];
    option_variable(o, variable);
    option_allowed(o, allowed, sizeof(allowed));
    fprintf(out, "| `%s` | ", o->key);
    reference_default(out, conf, o);
    fputs(" | ", out);
    write_cell(out, allowed);
    if (o->type == OPTION_CUSTOM)
        fputs(" | - | ", out);
    else
        fprintf(out, " | `%s`%s%s%s | ", variable, o->otel[0] ? ", `" : "", o->otel,
                o->otel[0] ? "`" : "");
    write_cell(out, option_help(o));
    fputs(" |\n", out);
}

static void reference_list(FILE *out, const struct conf *conf)
{
    const struct option *o = option_find(0, "processes.exclude");
    fputs("\nThe default of `processes.exclude`: what runs other people's programs, and what a "
          "machine\ncannot do without.\n\n```yaml\n",
          out);
    write_value_wrapped(out, conf, o, "exclude: ", "  ");
    fputs("\n```\n", out);
}

int conf_write_reference(FILE *out)
{
    static const char columns[] =
        "\n| Key | Default | Allowed | Variables | Meaning |\n|---|---|---|---|---|\n";
    struct conf_input nobody = {.privileged = true};
    struct conf *conf = conf_load(&nobody, NULL, NULL);
    if (!conf)
        return -ENOMEM;
    fputs(reference_head, out);
    fputs("\n## General\n", out);
    fputs(columns, out);
    for (size_t i = 0; i < option_count; i++)
        if (options[i].type != OPTION_SECTION && option_depth(&options[i]) == 0)
            reference_option(out, conf, &options[i]);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if (o->type == OPTION_SECTION) {
            fprintf(out, "\n%s `%s`\n\n", option_depth(o) ? "###" : "##", o->key);
            write_wrapped(out, "", option_help(o));
            fputs(columns, out);
        } else if (option_depth(o)) {
            reference_option(out, conf, o);
        }
    }
    reference_list(out, conf);
    conf_free(conf);
    return ferror(out) ? -EIO : 0;
}
