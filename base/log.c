#include "base/log.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char process_name[64] = "cortex";
static int is_json = 1;
static enum log_level least_level = LOG_INFO;
static log_sink *sink;

#define X(constant, text) text,
static const char *const tag_names[] = {LOG_TAGS(X)};
static const char *const level_names[] = {LOG_LEVELS(X)};
static const char *const format_names[] = {LOG_FORMATS(X)};
#undef X

const char *log_tag_name(uint32_t tag)
{
    return tag < LOG_TAGS_N ? tag_names[tag] : "?";
}

const char *log_level_name(uint32_t level)
{
    return level < LOG_LEVELS_N ? level_names[level] : "?";
}

static uint32_t find_name(const char *const *names, uint32_t n, const char *name)
{
    uint32_t i = 0;
    while (i < n && strcmp(names[i], name) != 0)
        i++;
    CHECK(i < n);
    return i;
}

void log_init(const char *process, const char *format, const char *least)
{
    enum log_format f = (enum log_format)find_name(format_names, LOG_FORMATS_N, format);

    snprintf(process_name, sizeof process_name, "%s", process);
    is_json = f == LOG_FORMAT_JSON || (f == LOG_FORMAT_AUTO && !isatty(STDERR_FILENO));
    least_level = (enum log_level)find_name(level_names, LOG_LEVELS_N, least);
}

void log_set_sink(log_sink *s)
{
    sink = s;
}

static void format_time(char *out, size_t size, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;
    char date[32];

    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, size, "%s.%03uZ", date, (unsigned)(wall_ns / NS_PER_MS % 1000));
}

static void add_json_line(struct buf *b, const char *time, enum log_tag tag, enum log_level level,
                          uint64_t request, const char *text)
{
    buf_printf(b, "{\"time\":\"%s\",\"process\":", time);
    buf_add_json_string(b, process_name, strlen(process_name));
    buf_printf(b, ",\"level\":\"%s\",\"tag\":\"%s\"", level_names[level], tag_names[tag]);
    if (request != 0)
        buf_printf(b, ",\"request\":\"%016llx\"", (unsigned long long)request);
    buf_add_str(b, ",\"text\":");
    buf_add_json_string(b, text, strlen(text));
    buf_add_str(b, "}\n");
}

static void add_text_line(struct buf *b, const char *time, enum log_tag tag, enum log_level level,
                          uint64_t request, const char *text)
{
    buf_printf(b, "%s %-7s %s %s: ", time, level_names[level], process_name, tag_names[tag]);
    if (request != 0)
        buf_printf(b, "[%016llx] ", (unsigned long long)request);
    for (const char *p = text; *p != '\0'; p++)
        buf_add_char(b, (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
    buf_add_char(b, '\n');
}

void log_event(enum log_tag tag, enum log_level level, uint64_t request, const char *fmt, ...)
{
    if (level < least_level)
        return;
    char text[1024];
    char time[40];
    uint64_t wall_ns = clock_wall_ns();
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (sink != NULL)
        sink(wall_ns, tag, level, request, text);

    struct buf line = {0};
    format_time(time, sizeof time, wall_ns);
    if (is_json)
        add_json_line(&line, time, tag, level, request, text);
    else
        add_text_line(&line, time, tag, level, request, text);
    ssize_t n = write(STDERR_FILENO, line.data, line.len); /* one write: lines never mix */
    (void)n;
    buf_free(&line);
}
