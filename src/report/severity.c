/*
 * The severity of a log line, where the line plainly says it.
 */
#include <string.h>

#include "report/fold_severity.h"

enum { LOOK_AT = 256, TOKENS_MAX = 8, JSON_LOOK_AT = 4096 };

struct level {
    const char *word; /* lower case */
    uint8_t number;
};

static const struct level levels[] = {
    {"trace", 1},   {"trce", 1},       {"trc", 1},      {"vrb", 1},         {"verbose", 1},
    {"finest", 1},  {"finer", 2},      {"debug", 5},    {"dbug", 5},        {"dbg", 5},
    {"fine", 5},    {"info", 9},       {"inf", 9},      {"information", 9}, {"informational", 9},
    {"notice", 10}, {"warn", 13},      {"warning", 13}, {"wrn", 13},        {"error", 17},
    {"err", 17},    {"eror", 17},      {"fail", 17},    {"severe", 17},     {"critical", 18},
    {"crit", 18},   {"alert", 19},     {"fatal", 21},   {"ftl", 21},        {"panic", 21},
    {"emerg", 21},  {"emergency", 21},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

static uint8_t level_of(const char *p, size_t n)
{
    if (n < 3 || n > 13)
        return 0;
    char first = lower(p[0]);
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        const char *w = levels[i].word;
        if (w[0] != first)
            continue;
        size_t k = 1;
        while (k < n && w[k] && w[k] == lower(p[k]))
            k++;
        if (k == n && !w[k])
            return levels[i].number;
    }
    return 0;
}

static bool is_upper(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 'a' && p[i] <= 'z')
            return false;
    return true;
}

static uint8_t say(uint8_t number, const char *at, size_t n, struct text *word)
{
    if (number && word)
        *word = (struct text){at, n};
    return number;
}

uint8_t severity_of_syslog(unsigned priority, struct text *word)
{
    static const uint8_t numbers[8] = {21, 19, 18, 17, 13, 10, 9, 5};
    static const char *const words[8] = {"emerg",   "alert",  "crit", "err",
                                         "warning", "notice", "info", "debug"};
    if (word)
        *word = text_of(words[priority & 7]);
    return numbers[priority & 7];
}

/* ------------------------------------------------------------------ well known prefixes */

/* "E0102 15:04:05.678901": glog, klog. */
static uint8_t by_glog(const char *p, size_t n, struct text *word)
{
    if (n < 15 || !memchr("IWEF", p[0], 4))
        return 0;
    for (int i = 1; i < 5; i++)
        if (!is_digit(p[i]))
            return 0;
    if (p[5] != ' ' || !is_digit(p[6]) || !is_digit(p[7]) || p[8] != ':' || !is_digit(p[9]) ||
        p[11] != ':')
        return 0;
    uint8_t number = p[0] == 'I' ? 9 : p[0] == 'W' ? 13 : p[0] == 'E' ? 17 : 21;
    return say(number, p, 1, word);
}

/* "E, [2024-01-02T03:04:05.000 #1] ERROR -- : text": Ruby's Logger. */
static uint8_t by_ruby(const char *p, size_t n, struct text *word)
{
    static const char letters[] = "DIWEF";
    static const uint8_t numbers[] = {5, 9, 13, 17, 21};
    const char *at = n > 5 ? memchr(letters, p[0], 5) : NULL;
    if (!at || p[1] != ',' || p[2] != ' ' || p[3] != '[' || !is_digit(p[4]))
        return 0;
    return say(numbers[at - letters], p, 1, word);
}

/* "12:M 02 Jan 2024 03:04:05.678 # text": redis and its kin. */
static uint8_t by_redis(const char *p, size_t n, struct text *word)
{
    size_t i = 0;
    while (i < n && i < 8 && is_digit(p[i]))
        i++;
    if (!i || n - i < 29 || p[i] != ':' || !memchr("XCSM", p[i + 1], 4) || p[i + 2] != ' ')
        return 0;
    const char *t = p + i + 3; /* 02 Jan 2024 03:04:05.678 # */
    static const char shape[] = "dd aaa dddd dd:dd:dd.ddd ";
    for (size_t k = 0; shape[k]; k++) {
        bool fits = shape[k] == 'd'   ? is_digit(t[k])
                    : shape[k] == 'a' ? is_letter(t[k])
                                      : t[k] == shape[k];
        if (!fits)
            return 0;
    }
    switch (t[sizeof(shape) - 1]) {
    case '.':
        return say(5, t + sizeof(shape) - 1, 1, word);
    case '-':
        return say(6, t + sizeof(shape) - 1, 1, word);
    case '*':
        return say(10, t + sizeof(shape) - 1, 1, word);
    case '#':
        return say(13, t + sizeof(shape) - 1, 1, word);
    default:
        return 0;
    }
}

/* "<11>text": syslog's and systemd's. */
static uint8_t by_priority(const char *p, size_t n, struct text *word)
{
    unsigned value = 0;
    size_t i = 1;
    while (i < n && i < 4 && is_digit(p[i]))
        value = value * 10 + (unsigned)(p[i++] - '0');
    if (i == 1 || i >= n || p[i] != '>' || value > 191)
        return 0;
    return severity_of_syslog(value, word);
}

/* ------------------------------------------------------------------ JSON */

static bool is_level_key(const char *p, size_t n)
{
    static const char *const keys[] = {"level",     "severity",     "lvl",       "loglevel",
                                       "log.level", "log_level",    "levelname", "@l",
                                       "s",         "severity_text"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (strlen(keys[i]) == n) {
            size_t k = 0;
            while (k < n && lower(p[k]) == keys[i][k])
                k++;
            if (k == n)
                return n > 1 || p[0] == 's';
        }
    return false;
}

/* pino and bunyan count in tens. */
static uint8_t by_tens(const char *p, size_t n)
{
    if (n != 2 || p[1] != '0')
        return 0;
    static const uint8_t numbers[] = {0, 1, 5, 9, 13, 17, 21};
    return p[0] >= '1' && p[0] <= '6' ? numbers[p[0] - '0'] : 0;
}

/* The value behind a key at *i (past the colon's blanks); 0 when it is no level. */
static uint8_t json_value(const char *p, size_t n, size_t i, bool letters, struct text *word)
{
    if (i < n && p[i] == '"') {
        size_t from = ++i;
        while (i < n && p[i] != '"' && p[i] != '\\')
            i++;
        if (i == n || p[i] != '"')
            return 0;
        if (letters) { /* MongoDB: "s":"E" */
            static const char marks[] = "DIWEF";
            static const uint8_t numbers[] = {5, 9, 13, 17, 21};
            const char *at = i - from == 1 ? memchr(marks, p[from], 5) : NULL;
            return at ? say(numbers[at - marks], p + from, 1, word) : 0;
        }
        return say(level_of(p + from, i - from), p + from, i - from, word);
    }
    size_t from = i;
    while (i < n && is_digit(p[i]))
        i++;
    return letters ? 0 : say(by_tens(p + from, i - from), p + from, i - from, word);
}

/* {"level":"error",...}: a member of the outermost object. */
static uint8_t by_json(const char *p, size_t n, struct text *word)
{
    int depth = 0;
    if (n > JSON_LOOK_AT)
        n = JSON_LOOK_AT;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '{' || p[i] == '[') {
            depth++;
        } else if (p[i] == '}' || p[i] == ']') {
            if (--depth == 0)
                return 0;
        } else if (p[i] == '"') {
            size_t from = ++i;
            while (i < n && p[i] != '"')
                i += p[i] == '\\' ? 2 : 1;
            if (i >= n)
                return 0;
            size_t length = i - from, at = i + 1;
            while (at < n && p[at] == ' ')
                at++;
            if (depth != 1 || at >= n || p[at] != ':')
                continue;
            for (at++; at < n && p[at] == ' ';)
                at++;
            if (is_level_key(p + from, length)) {
                uint8_t number = json_value(p, n, at, length == 1, word);
                if (number)
                    return number;
            }
            i = at - 1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ words */

/* level=error, lvl=warn, severity="info": anywhere in the first part of the line. */
static uint8_t by_pair(const char *p, size_t n, struct text *word)
{
    for (const char *eq = memchr(p, '=', n); eq;
         eq = memchr(eq + 1, '=', n - (size_t)(eq + 1 - p))) {
        size_t at = (size_t)(eq - p), from = at;
        while (from && (is_letter(p[from - 1]) || memchr("._@", p[from - 1], 3)))
            from--;
        if (at - from < 2 || !is_level_key(p + from, at - from))
            continue;
        if (from && p[from - 1] != ' ' && p[from - 1] != '\t' && p[from - 1] != '[')
            continue;
        at++;
        if (at < n && p[at] == '"')
            at++;
        size_t end = at;
        while (end < n && is_letter(p[end]))
            end++;
        uint8_t number = say(level_of(p + at, end - at), p + at, end - at, word);
        if (number)
            return number;
    }
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '|';
}

/* The end of an ANSI sequence that starts at i (ESC), or i when there is none. */
static size_t past_escape(const char *p, size_t n, size_t i)
{
    if (i + 1 >= n || p[i] != '\033' || p[i + 1] != '[')
        return i;
    for (i += 2; i < n && !((uint8_t)p[i] >= 0x40 && (uint8_t)p[i] <= 0x7e);)
        i++;
    return i < n ? i + 1 : n;
}

/* A word in brackets: [error], [ WARN ], [core:error], [12:00:00 INF], [main/INFO]. */
static uint8_t by_bracket(const char *p, size_t n, struct text *word)
{
    while (n && p[0] == ' ') {
        p++;
        n--;
    }
    while (n && p[n - 1] == ' ')
        n--;
    size_t from = n;
    while (from && is_letter(p[from - 1]))
        from--;
    if (from && p[from - 1] != ':' && p[from - 1] != '/') {
        /* more than one word: only behind a time stamp */
        if (p[from - 1] != ' ' || !is_digit(p[0]))
            from = n;
    }
    uint8_t number = from < n ? level_of(p + from, n - from) : 0;
    if (number)
        return say(number, p + from, n - from, word);
    if (!n || !is_digit(p[0]))
        return 0;
    /* [2024-01-02T03:04:05Z INFO  crate] */
    const char *blank = memchr(p, ' ', n);
    if (!blank)
        return 0;
    while (blank < p + n && *blank == ' ')
        blank++;
    size_t k = 0;
    while (blank + k < p + n && is_letter(blank[k]))
        k++;
    if (blank + k < p + n && blank[k] != ' ')
        return 0;
    return is_upper(blank, k) ? say(level_of(blank, k), blank, k, word) : 0;
}

/* A token that may stand before the level: a time stamp, a number, a name with a colon. */
static bool is_prefix(const char *p, size_t n)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDecMonTueWedThuFriSatSun";
    static const char *const small[] = {"UTC", "GMT", "CET", "CEST", "EST", "EDT", "PST",
                                        "PDT", "AM",  "PM",  "-",    "--",  "---"};
    if (is_digit(p[0]) || (n > 1 && (p[0] == '+' || p[0] == '-') && is_digit(p[1])))
        return true;
    if (n >= 2 && p[n - 1] == ':')
        return true;
    if (n == 3 || (n == 4 && p[3] == ','))
        for (size_t i = 0; months[i]; i += 3)
            if (!memcmp(months + i, p, 3))
                return true;
    for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++)
        if (strlen(small[i]) == n && !memcmp(small[i], p, n))
            return true;
    return false;
}

/*
 * A token that is a level: in capitals whatever follows; in other letters only with a colon behind
 * it, or alone between tabs.
 */
static uint8_t by_token(const char *p, size_t n, size_t after, bool tabs, struct text *word)
{
    size_t k = 0;
    while (k < n && is_letter(p[k]))
        k++;
    uint8_t number = level_of(p, k);
    if (!number) {
        if (k == 3 && k + 1 == n && p[k] == ':' && !memcmp(p, "LOG", 3))
            return say(9, p, k, word); /* PostgreSQL */
        return 0;
    }
    bool colon = k < after && p[k] == ':';
    if (k < n && !colon)
        return 0; /* ERROR-foo, error/foo */
    if (!is_upper(p, k) && !colon && !tabs)
        return 0;
    return say(number, p, k, word);
}

static uint8_t by_words(const char *p, size_t n, struct text *word)
{
    size_t i = 0;
    for (int token = 0; token < TOKENS_MAX; token++) {
        size_t was;
        do {
            was = i;
            while (i < n && is_blank(p[i]))
                i++;
            i = past_escape(p, n, i);
        } while (i != was);
        if (i >= n)
            return 0;
        if (p[i] == '[' || p[i] == '(') {
            char close = p[i] == '[' ? ']' : ')';
            const char *end = memchr(p + i, close, n - i);
            if (!end)
                return 0;
            size_t length = (size_t)(end - p) - i - 1;
            uint8_t number = p[i] == '[' ? by_bracket(p + i + 1, length, word) : 0;
            if (number)
                return number;
            i = (size_t)(end - p) + 1;
            if (i < n && p[i] == ':')
                i++;
            continue;
        }
        size_t from = i;
        while (i < n && !is_blank(p[i]) && p[i] != '[' && p[i] != '\033')
            i++;
        bool tabs = from && p[from - 1] == '\t' && i < n && p[i] == '\t';
        uint8_t number = by_token(p + from, i - from, n - from, tabs, word);
        if (number)
            return number;
        if (i < n && p[i] == '[' && i > from)
            continue; /* name[123]: */
        if (!is_prefix(p + from, i - from))
            return 0;
    }
    return 0;
}

uint8_t severity_of_line(struct text line, struct text *word)
{
    if (word)
        *word = (struct text){0};
    const char *p = line.data;
    size_t n = line.length;
    const char *newline = n ? memchr(p, '\n', n) : NULL;
    if (newline)
        n = (size_t)(newline - p);
    while (n && p[0] == ' ') {
        p++;
        n--;
    }
    if (!n)
        return 0;
    if (p[0] == '{')
        return by_json(p, n, word);
    if (n > LOOK_AT)
        n = LOOK_AT;
    if (p[0] == '<')
        return by_priority(p, n, word);
    uint8_t number = by_glog(p, n, word);
    if (!number)
        number = by_ruby(p, n, word);
    if (!number)
        number = by_redis(p, n, word);
    if (!number)
        number = by_words(p, n, word);
    if (!number)
        number = by_pair(p, n, word);
    return number;
}
