/*
 * scope config check: everything in a file, also what only the reporter would find out, such as
 * regular expressions that do not compile.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "conf/internal.h"

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

/* As the reporter compiles them (report/filter.c): on bytes. */
bool regex_wrong(const char *pattern, char *out, size_t size)
{
    int error;
    PCRE2_SIZE at;
    PCRE2_UCHAR8 reason[128];
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_UTF,
                                     &error, &at, NULL);
    if (code) {
        pcre2_code_free(code);
        return false;
    }
    pcre2_get_error_message(error, reason, sizeof(reason));
    snprintf(out, size, "%s at character %zu", (const char *)reason, (size_t)at + 1);
    return true;
}

int conf_check(const char *file, conf_report *report, void *context)
{
    struct conf_input nobody = {0};
    struct loader l;
    if (!loader_begin(&l, &nobody, report, context))
        return -ENOMEM;
    l.checking = true;
    int r = file_load(&l, file);
    struct conf *conf = loader_end(&l);
    int troubles = (int)l.troubles; /* the end has its own: what does not go together */
    conf_free(conf);
    return r ? r : conf ? troubles : -ENOMEM;
}
