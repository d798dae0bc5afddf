/*
 * Recordings: the directories that `scope run` leaves, and NDJSON files of any origin.
 */
#ifndef SCOPE_CLI_RECORDING_H
#define SCOPE_CLI_RECORDING_H

#include <jansson.h>
#include <stddef.h>

/* The user's state directory for scope ($XDG_STATE_HOME/scope or ~/.local/state/scope). 0 or -errno. */
int recording_state_dir(char *out, size_t size);

/* The newest recording below the state directory; -ENOENT when there is none. */
int recording_newest(char *out, size_t size);

/* One line, parsed; borrowed until the call returns. */
typedef void recording_line(void *context, json_t *line);

/*
 * Reads a recording (a directory's telemetry.ndjson and its rotated predecessors, or one file; "-" is
 * standard input). Lines that are no JSON object are counted in *bad and passed over. 0 or -errno.
 */
int recording_read(const char *path, recording_line *take, void *context, size_t *bad);

/* Members of a parsed line; a missing one gives NULL, 0 or an empty object. */
const char *line_text(const json_t *object, const char *key);
double line_number(const json_t *object, const char *key);
const json_t *line_object(const json_t *object, const char *key);

#endif
