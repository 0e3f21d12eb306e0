/* One line per event: what happened to which object and why. Every line has time, process, tag,
 * level and, when it is about one, the request. Lines go to stderr (JSON, or text on a terminal)
 * and to the sink (the event log in shared memory). Prompts, answers and keys are never logged. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

/* X(constant, text) */
#define LOG_TAGS(X)                                                                                \
    X(LOG_CONFIG, "config") X(LOG_CHILD, "child") X(LOG_LINK, "link") X(LOG_REQUEST, "request")    \
    X(LOG_HTTP, "http") X(LOG_MODEL, "model") X(LOG_SYSTEM, "system")
#define LOG_LEVELS(X)                                                                              \
    X(LOG_DEBUG, "debug") X(LOG_INFO, "info") X(LOG_WARNING, "warning") X(LOG_ERROR, "error")
#define LOG_FORMATS(X) X(LOG_FORMAT_AUTO, "auto") X(LOG_FORMAT_TEXT, "text") X(LOG_FORMAT_JSON, "json")

#define X(constant, text) constant,
enum log_tag { LOG_TAGS(X) LOG_TAGS_N };
enum log_level { LOG_LEVELS(X) LOG_LEVELS_N };
enum log_format { LOG_FORMATS(X) LOG_FORMATS_N };
#undef X

const char *log_tag_name(uint32_t tag);
const char *log_level_name(uint32_t level);

/* process: "supervisor", "router", "model#0"; copied. format and least level by name, as the
 * configuration has checked them; auto = text when stderr is a terminal, else JSON. */
void log_init(const char *process, const char *format, const char *least);

typedef void log_sink(uint64_t wall_ns, enum log_tag tag, enum log_level level, uint64_t request,
                      const char *text);
void log_set_sink(log_sink *sink);

void log_event(enum log_tag tag, enum log_level level, uint64_t request, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define log_info(tag, ...)    log_event(tag, LOG_INFO, 0, __VA_ARGS__)
#define log_warning(tag, ...) log_event(tag, LOG_WARNING, 0, __VA_ARGS__)
#define log_error(tag, ...)   log_event(tag, LOG_ERROR, 0, __VA_ARGS__)

#endif
