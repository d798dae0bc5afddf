/* Severity: where lines plainly say it, and where they do not. */
#include "fold_fixture.h"
#include "report/fold_severity.h"

struct sample {
    const char *line;
    int number;
    const char *word;
};

static const struct sample samples[] = {
    {"ERROR:root:message", 17, "ERROR"},
    {"WARNING: something", 13, "WARNING"},
    {"error: no such file", 17, "error"},
    {"Error: Cannot find module 'x'", 17, "Error"},
    {"gcc: fatal error: no input files", 0, NULL},
    {"x.c:1:2: warning: unused variable", 13, "warning"},
    {"INFO starting", 9, "INFO"},
    {"DEBUG|x", 5, "DEBUG"},
    {"2024-01-02 03:04:05,678 INFO  [main] c.e.Foo - msg", 9, "INFO"},
    {"2024-01-02 03:04:05 [main] WARN c.e.Foo - msg", 13, "WARN"},
    {"12:34:56.789 [http-nio-8080-exec-1] DEBUG o.s.web - x", 5, "DEBUG"},
    {"2024-01-02T03:04:05.678Z\tinfo\tlogged by zap", 9, "info"},
    {"2024-01-02T03:04:05.678Z\tERROR\tserver/x.go:1\tboom", 17, "ERROR"},
    {"2024-01-02 03:04:05.678 | SUCCESS  | m:f:1 - x", 0, NULL},
    {"2024-01-02 03:04:05.678 | INFO     | m:f:1 - x", 9, "INFO"},
    {"2024/01/02 03:04:05 [error] 123#0: *1 open() failed", 17, "error"},
    {"[Mon Jan 02 15:04:05.123 2024] [core:error] [pid 1] AH0: x", 17, "error"},
    {"[Mon Jan 02 15:04:05.123 2024] [mpm_event:notice] [pid 1] x", 10, "notice"},
    {"[12:00:00] [Server thread/INFO]: Done", 9, "INFO"},
    {"[12:34:56 INF] Serilog", 9, "INF"},
    {"[2024-01-02T03:04:05Z WARN  app::x] rust", 13, "WARN"},
    {"[WARN ] padded", 13, "WARN"},
    {"\033[2m2024-01-02T03:04:05Z\033[0m \033[32m INFO\033[0m app: x", 9, "INFO"},
    {"\033[31mERROR\033[0m in colour", 17, "ERROR"},
    {"E0102 15:04:05.678901   1 x.go:1] klog", 17, "E"},
    {"I0102 15:04:05.678901   1 x.go:1] klog", 9, "I"},
    {"Every0102", 0, NULL},
    {"E, [2024-01-02T03:04:05.000 #1] ERROR -- : ruby", 17, "E"},
    {"12:M 02 Jan 2024 03:04:05.678 # redis warning", 13, "#"},
    {"12:M 02 Jan 2024 03:04:05.678 * redis notice", 10, "*"},
    {"# a comment", 0, NULL},
    {"* an item", 0, NULL},
    {"<11>daemon: x", 17, "err"},
    {"<191>local7 debug", 5, "debug"},
    {"<html>", 0, NULL},
    {"<999>x", 0, NULL},
    {"{\"level\":\"error\",\"msg\":\"x\"}", 17, "error"},
    {"{\"msg\":\"level\",\"level\": \"warn\"}", 13, "warn"},
    {"{\"time\":1,\"level\":30,\"msg\":\"pino\"}", 9, "30"},
    {"{\"t\":{\"$date\":\"x\"},\"s\":\"E\",\"c\":\"NET\"}", 17, "E"},
    {"{\"a\":{\"level\":\"error\"}}", 0, NULL},
    {"{\"msg\":\"\\\"level\\\":\\\"error\\\"\"}", 0, NULL},
    {"{\"severity\":\"CRITICAL\"}", 18, "CRITICAL"},
    {"{broken \"level\"", 0, NULL},
    {"time=\"2024\" level=warning msg=\"x\"", 13, "warning"},
    {"ts=1 lvl=eror msg=x", 17, "eror"},
    {"url=/x?sublevel=error", 0, NULL},
    {"GET /x?level=error HTTP/1.1", 0, NULL},
    {"[ts=1 level=info]", 9, "info"},
    {"2024-05-05 12:00:00.000 UTC [123] ERROR:  relation does not exist", 17, "ERROR"},
    {"2024-05-05 12:00:00.000 UTC [123] LOG:  checkpoint", 9, "LOG"},
    {"2024-05-05 12:00:00.000 UTC [123] FATAL:  role", 21, "FATAL"},
    {"info: Microsoft.Hosting.Lifetime[0]", 9, "info"},
    {"fail: Microsoft.AspNetCore[1]", 17, "fail"},
    {"panic: runtime error", 21, "panic"},
    {"SEVERE: from java.util.logging", 17, "SEVERE"},
    {"Jan  2 03:04:05 host sshd[12]: error: x", 0, NULL},
    {"got INFO from server", 0, NULL},
    {"there was an error: disk full", 0, NULL},
    {"information is power", 0, NULL},
    {"errors: 5", 0, NULL},
    {"127.0.0.1 - - [02/Jan/2024:03:04:05 +0000] \"GET /error HTTP/1.1\" 200 5", 0, NULL},
    {"", 0, NULL},
    {"   ", 0, NULL},
    {"[", 0, NULL},
    {"]", 0, NULL},
    {"[]", 0, NULL},
};

static void lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
        const struct sample *s = &samples[i];
        struct text word;
        int n = severity_of_line(text_of(s->line), &word);
        if (n != s->number || (s->word && !text_is(word, s->word)))
            fail_msg("'%s': %d '%.*s', not %d '%s'", s->line, n, (int)word.length,
                     word.data ? word.data : "", s->number, s->word ? s->word : "");
    }
}

static void first_line_only(void **state)
{
    (void)state;
    assert_int_equal(severity_of_line(text_of("hello\nERROR x"), NULL), 0);
    assert_int_equal(severity_of_line((struct text){NULL, 0}, NULL), 0);
}

static void syslog_levels(void **state)
{
    (void)state;
    static const int expected[8] = {21, 19, 18, 17, 13, 10, 9, 5};
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(severity_of_syslog(i + 8 * 3, NULL), expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(first_line_only),
                                       cmocka_unit_test(syslog_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
