/*
 * diagnostics: where the library tells of its own troubles: a file that the configuration names,
 * never the host's standard error. At most a few lines a second, each at most 512 bytes; the excess
 * is counted and the count is written when there is room again. Called on the reporter's thread and
 * by the constructor; safe on several threads at once. Opens the file for each line, so it holds no
 * descriptor. Errors are ignored: there is nobody to tell.
 */
#ifndef SCOPE_REPORT_DIAGNOSTICS_H
#define SCOPE_REPORT_DIAGNOSTICS_H

#include "conf/conf.h"

/* Takes the file and the level from conf (copied); NULL: silent, as before the first call. */
void diagnostics_start(const struct conf *conf);

void diagnostics(enum diagnostics_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A conf_report that writes what is wrong in the configuration. context is ignored. */
void diagnostics_trouble(void *context, const struct conf_trouble *trouble);

#endif
