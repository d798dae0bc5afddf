/*
 * The severity of a log line, where the line plainly says it: a level word at its start (behind a
 * time stamp, a process number, a logger's name), in brackets, as level=word, in JSON, or in one of
 * the well known prefixes (glog, Ruby's Logger, redis, syslog). Anything less plain is no severity.
 * Pure: bytes in, number out.
 */
#ifndef SCOPE_REPORT_FOLD_SEVERITY_H
#define SCOPE_REPORT_FOLD_SEVERITY_H

#include "telemetry/telemetry.h"

/* SeverityNumber 1 to 24, 0 not said. *word: how the line says it, inside line; may be NULL. */
uint8_t severity_of_line(struct text line, struct text *word);

/* A syslog priority's level (the low three bits). *word: static text. */
uint8_t severity_of_syslog(unsigned priority, struct text *word);

#endif
