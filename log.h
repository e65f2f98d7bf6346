/* The event log: one line an event on stderr, with a level, at most LOG_LINES_PER_SECOND.
 *
 * Lines over the rate are counted and the count is logged with the next line that passes: whoever
 * can provoke events must not be able to fill a disk or stall the loop on a slow terminal.
 */
#ifndef KVS_LOG_H
#define KVS_LOG_H

#include <stdbool.h>

#define LOG_LINES_PER_SECOND 50
#define LOG_LINE_BYTES_MAX   1024 /* longer ones are cut */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* False when `name` is none of error, warn, info, debug. */
bool log_level_parse(const char *name, enum log_level *level);
void log_set_level(enum log_level level);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#endif
