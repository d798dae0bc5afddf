/*
 * What the files of conf/ share: the option table, the value tree that every source is turned into,
 * and the state of one load. Nobody outside conf/ includes this.
 */
#ifndef SCOPE_CONF_INTERNAL_H
#define SCOPE_CONF_INTERNAL_H

#include "conf/conf.h"

/* ------------------------------------------------------------------ the table (options.c) */

enum option_type {
    OPTION_SECTION, /* of other options */
    OPTION_CUSTOM,  /* overrides for some processes */
    OPTION_BOOL,
    OPTION_COUNT,    /* uint32_t */
    OPTION_LIMIT,    /* struct conf_limit */
    OPTION_SIZE,     /* uint64_t, bytes */
    OPTION_SIZE32,   /* uint32_t, bytes */
    OPTION_DURATION, /* uint64_t, nanoseconds */
    OPTION_RATIO,    /* double, 0 to 1 */
    OPTION_CHOICE,   /* an enum: the index in `names` */
    OPTION_TEXT,
    OPTION_PATH,     /* absolute */
    OPTION_URL,      /* of a sink */
    OPTION_ENDPOINT, /* of OTLP: a URL of http */
    OPTION_LIST,     /* of texts */
    OPTION_NAMES,    /* of those in `names` */
    OPTION_ROUTES,   /* of path templates */
    OPTION_FIELDS,   /* of names of headers, `!` behind those that are shown as they are */
    OPTION_GLOBS,
    OPTION_REGEXES,
    OPTION_PAIRS,
    OPTION_MATCHES,
};

/* How the OpenTelemetry variable of an option is read. Empty is unset in every one. */
enum otel_rule {
    RULE_NONE,
    RULE_TEXT,         /* as our own variable */
    RULE_COUNT,        /* digits alone, none of our words */
    RULE_MILLISECONDS, /* a whole number */
    RULE_DISABLES,     /* "true" in any case means false here */
    RULE_PAIRS,        /* k=v,k=v with percent-encoding; an error anywhere discards all of it */
    RULE_EXPORTER,     /* a list: otlp in it means true here, none false */
    RULE_NAMES,        /* a choice by OpenTelemetry's names, which stand in otel_choices (otel.c) */
    RULE_RATIO,        /* of the sampler: nothing without it, and 1 if it is none */
    RULE_PROPAGATORS,  /* a list of known names, each once */
    RULE_LIST,         /* items with commas between */
};

enum default_list {
    LIST_NONE,
    LIST_LEFT_ALONE,
    LIST_LOG_FILES,
    LIST_STATSD_TAGS,
    LIST_PROPAGATORS,
    LIST_METHODS
};

#define SECOND 1000000000ull
#define DAY (86400 * SECOND)
#define KIB 1024ull
#define MIB (1024 * KIB)

struct option {
    char key[32];
    char otel[64];
    char names[48];   /* of a choice and of names, '|' between them */
    char example[24]; /* for scope.yml where the default is empty */
    uint64_t number, low,
        high; /* default and range; of lists: enum default_list, and bytes at most in high, 0 any */
    uint16_t offset, count_offset;
    uint8_t type, rule;
    bool secret; /* its values are shown to nobody */
};
/* The options that hold pairs: each has its own list of origins. */
enum { PAIRS_LISTS = 7 };
size_t pairs_list(const struct option *o); /* which one: 0 is resource.attributes */
enum { UNLIMITED = UINT32_MAX };           /* the `number` of a limit that is none */
enum { EMPTY_KEPT = 1 }; /* the `number` of a text that is "" and not NULL when it is empty */

enum { OPTIONS_MAX = 192 };
extern const struct option options[];
extern const size_t option_count;

/* The option with this key, looked for from index `from` on; NULL if there is none. */
const struct option *option_find(size_t from, const char *key);
/* The option whose value stands at this offset of struct conf. Cheap: reads little of the table. */
const struct option *option_at(size_t offset);
/* Whether this name stands in its names. */
bool option_has_choice(const struct option *o, const char *name);
/* The option that NAME of SCOPE_NAME means; NULL if there is none. */
const struct option *option_of_variable(const char *name, size_t length);
/* The known key that is nearest to a mistaken one, or NULL when none is near. */
const char *option_nearest(const char *key);
/* SCOPE_... of a key; out has 48 bytes. */
void option_variable(const struct option *o, char *out);
/* "a duration from 100ms to 1d": what may stand there, for troubles and the reference page. */
void option_allowed(const struct option *o, char *out, size_t size);
/* The default items of a list, each NUL-ended, an empty one at the end; "" when there are none. */
const char *option_items(const struct option *o);

/* ------------------------------------------------------------------ values (value.c) */

bool value_bool(const char *text, bool *out);
int value_count(const char *text, uint64_t *out); /* digits only; -EINVAL, -ERANGE */
bool value_is_utf8(const char *text);
bool value_same(const char *a, const char *b); /* ASCII letters in any case */
/* The shortest exact form; out has 32 bytes. */
void value_format_duration(uint64_t nanoseconds, char *out);
void value_format_size(uint64_t bytes, char *out);
/* Decodes %XX in place; false for a bad or NUL escape, or what is not UTF-8 afterwards. */
bool value_percent_decode(char *text);
/* "0.25": from 0 to 1, nine decimals count. */
bool value_ratio(const char *text, double *out);
/* Whether it can name a header of HTTP. */
bool value_is_field_name(const char *text);
/* NULL, or what is wrong with a sink's address. */
const char *value_url_wrong(const char *text);
const char *value_endpoint_wrong(const char *text); /* the same, of OTLP (url.c) */
/*
 * The URL of one signal ("metrics", "logs", "traces") below a base: the base's path is kept and
 * v1/SIGNAL appended. With signal NULL the URL as it is, with the path "/" if it has none. The
 * length, or -1: no http URL, or it does not fit. (url.c)
 */
int conf_otlp_url(const char *base, const char *signal, char *out, size_t size);

/* ------------------------------------------------------------------ memory (memory.c) */

struct block {
    struct block *next;
    size_t room;
};
/* Bump allocation; all is freed at once. */
struct pool {
    struct block *blocks;
    char *at, *end;
    bool failed; /* wanted memory and got none */
};
void *pool_take(struct pool *p, size_t size); /* zeroed, 8-aligned; NULL: no memory */
char *pool_copy(struct pool *p, const char *text, size_t length);
void pool_free(struct pool *p);

/* ------------------------------------------------------------------ the tree (tree.c, yaml.c) */

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING, NODE_BROKEN };

/* One value. In a mapping it carries its key too. Lines and columns from 1; 0: not from a file. */
struct node {
    struct node *next, *first, *last;
    const char *text, *key;
    uint32_t line, column, key_line, key_column;
    uint8_t kind; /* a broken one has been reported already */
    bool plain;   /* a scalar without quotes */
};
enum { NODE_DEPTH = 16, NODE_MAX = 50000, FILE_SIZE_MAX = 1 << 20 };

/* ------------------------------------------------------------------ one load */

enum origin_kind {
    ORIGIN_DEFAULT,
    ORIGIN_OTEL,
    ORIGIN_FILE,
    ORIGIN_CUSTOM,
    ORIGIN_ENV,
    ORIGIN_SET
};

struct origin {
    const char *name; /* the file, the variable, or "--set" */
    uint32_t line, column;
    uint16_t custom; /* which item of custom, from 1 */
    uint8_t kind;
};

/* The whole of a loaded configuration; struct conf is its first member, origins points here. */
struct loaded {
    struct conf conf;
    struct pool pool;
    struct origin *pair_origins[PAIRS_LISTS]; /* one for each pair of each list */
    struct origin *origins;                   /* one for each option; NULL: all are defaults */
    char first[2304]; /* where the pool begins: room for what the defaults need */
};

struct loader {
    struct loaded *to;
    const struct conf_input *input;
    conf_report *report;
    void *context;
    unsigned troubles;
    bool checking; /* scope config check: regular expressions are compiled */
    bool hide;     /* what is read now is a secret: troubles do not quote it */
    struct pool scratch;
    size_t nodes;
    const struct node
        *place; /* where in a file the text stands that is being set; NULL: not there */
};

/* Where values come from now. */
struct source {
    const char *name; /* lives as long as the conf */
    uint16_t custom;
    uint8_t kind;
    bool dry; /* check only: the values are meant for other processes */
};

void loader_trouble(struct loader *l, const char *origin, unsigned line, unsigned column,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

struct node *node_new(struct loader *l, enum node_kind kind);
void node_add(struct node *parent, struct node *child);
/* What a variable or --set says, as the tree that the option's type wants. NULL: no memory. */
struct node *node_of_text(struct loader *l, const struct option *o, const char *text);

/* The tree of the YAML in a file; NULL if it cannot be read at all (reported) or is empty. */
struct node *yaml_tree(struct loader *l, int fd, const char *origin);

/* Takes one value for one option, or reports why not. (set.c) */
void conf_set(struct loader *l, const struct option *o, const struct node *n,
              const struct source *s);
/* A regular expression, a whole rule. (match.c) */
bool match_read(struct loader *l, const struct node *n, const struct source *s,
                struct conf_match *out);
bool match_applies(const struct conf_match *m, const struct conf_input *input);
/* Where an option's value came from. */
struct origin *origin_note(struct loaded *to, const struct option *o); /* NULL: no memory */
struct origin origin_get(const struct loaded *loaded, const struct option *o);
/* Sets or (empty value) takes away one pair. (set.c) */
void conf_set_pair(struct loader *l, const struct option *o, const char *key, const char *value,
                   const struct node *n, const struct source *s);
/* NULL, or what PCRE2 says is wrong; `out` has room for the text. (check.c) */
bool regex_wrong(const char *pattern, char *out, size_t size);

/* Reads and applies a file: troubles are reported. 0 or -errno if it cannot be read. (file.c) */
int file_load(struct loader *l, const char *path);
/* Finds the file to read as documented; applies it. (file.c) */
void file_search(struct loader *l);
/* The tree of a file that need not be scope.yml; NULL: none (reported) or empty. (file.c) */
struct node *file_tree(struct loader *l, const char *path, const char *origin, bool ours);
/* The name that /etc/passwd has for a user. (user.c) */
bool user_name(uint32_t uid, char *out, size_t size);
/* The variables. (environment.c) */
const char *environment_get(const struct loader *l, const char *name, size_t length);
void environment_otel(struct loader *l); /* and OTEL_CONFIG_FILE (otel.c) */
/* What an OTEL_ variable says of an option, by the option's rule. (otel.c) */
void otel_take(struct loader *l, const struct option *o, const char *text, const struct source *s);
/* The file that OTEL_CONFIG_FILE names. (declarative.c) */
void declarative_load(struct loader *l, const char *path);
void environment_scope(struct loader *l);
/* Whether the option at this offset of struct conf was set by anything. */
bool conf_was_set(const struct loader *l, size_t offset);
/* What the chosen preset sets, where nothing as strong said otherwise. (preset.c) */
void preset_apply(struct loader *l);
/* Fills in what each kind of record takes from the general limits. (limits.c) */
void limits_settle(struct loader *l);
/* OTEL_ENTITIES: their attributes are the resource's. (entities.c) */
void entities_load(struct loader *l);
/* What one option takes from another: value and origin, if the other was set and it was not. */
void conf_inherit(struct loader *l, size_t to, size_t from, size_t size);
/* Fills in what each signal takes from the general OTLP options; the implicit sink. (otlp.c) */
void otlp_settle(struct loader *l);
void environment_sets(struct loader *l);
/* A source for one variable; its name is copied, because it outlives the environment. */
struct source environment_source(struct loader *l, const char *name, size_t length,
                                 enum origin_kind kind);
/* Takes a text as a variable or --set has it. */
void conf_set_text(struct loader *l, const struct option *o, const char *text,
                   const struct source *s);
/* ${NAME}, ${env:NAME}, ${NAME:-default}, $$ of text, expanded. NULL: malformed (reported).
 * (environment.c) */
const char *environment_expand(struct loader *l, const char *text, const struct node *n,
                               const struct source *s);

/* The beginning and end of a load, for conf_load and conf_check. (load.c) */
bool loader_begin(struct loader *l, const struct conf_input *input, conf_report *report,
                  void *context);
struct conf *loader_end(struct loader *l);

#endif
