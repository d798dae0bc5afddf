/*
 * Recordings: the directories that `scope run` leaves, and NDJSON files of any origin.
 */
#ifndef SCOPE_CLI_RECORDING_H
#define SCOPE_CLI_RECORDING_H

#include <jansson.h>
#include <stddef.h>

/* The user's state directory for scope ($XDG_STATE_HOME/scope or ~/.local/state/scope). 0 or
 * -errno. */
int recording_state_dir(char *out, size_t size);

/* The newest recording below the state directory; -ENOENT when there is none. */
int recording_newest(char *out, size_t size);

/* One line: parsed, and as it was read (ended with a NUL). Both are borrowed until the call
 * returns. */
typedef void recording_line(void *context, json_t *line, const char *text);

/*
 * Reads a recording: of a directory all files named NAME.ndjson or NAME.jsonl and their rotated
 * predecessors (NAME.ndjson.1 ...), or one file; "-" is standard input. Lines that are no JSON
 * object, and those beyond 16 MiB, are counted in *bad and passed over. 0 or -errno; -ENOENT for a
 * directory without such files.
 */
int recording_read(const char *path, recording_line *take, void *context, size_t *bad);

/* Members of a parsed line; a missing one gives NULL, 0 or an empty object. */
const char *line_text(const json_t *object, const char *key);
double line_number(const json_t *object, const char *key);
const json_t *line_object(const json_t *object, const char *key);

#endif
