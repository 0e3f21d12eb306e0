#include "tools/chat/screen.h"

#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIM   "\033[2m"
#define PLAIN "\033[0m"
#define ERASE "\r\033[K"

void screen_open(struct screen *s)
{
    *s = (struct screen){.is_terminal = isatty(STDOUT_FILENO) == 1, .last = '\n'};
}

static void put(struct screen *s, const char *bytes, size_t len)
{
    while (len > 0 && !s->is_broken) {
        ssize_t n = write(STDOUT_FILENO, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            s->is_broken = true;
            return;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

static void show(struct screen *s, const char *text, size_t len)
{
    struct buf safe = {0};

    if (len == 0)
        return;
    s->has_text = true;
    s->last = text[len - 1];
    if (s->is_terminal) {
        buf_add_printable(&safe, text, len, "\n\t");
        put(s, safe.data, safe.len);
        buf_free(&safe);
    } else {
        put(s, text, len);
    }
}

static void end_line(struct screen *s)
{
    if (s->last != '\n')
        put(s, "\n", 1);
    s->last = '\n';
}

static void end_dim(struct screen *s)
{
    if (!s->is_dim)
        return;
    end_line(s);
    put(s, PLAIN, strlen(PLAIN));
    s->is_dim = false;
}

void screen_reasoning(struct screen *s, const char *text, size_t len)
{
    if (!s->is_terminal || len == 0)
        return;
    if (!s->is_dim)
        put(s, DIM, strlen(DIM));
    s->is_dim = true;
    show(s, text, len);
}

void screen_content(struct screen *s, const char *text, size_t len)
{
    if (len > 0)
        end_dim(s);
    show(s, text, len);
}

void screen_end(struct screen *s)
{
    end_dim(s);
    end_line(s);
}

void screen_note(struct screen *s, const char *text)
{
    if (!s->is_terminal)
        return;
    put(s, DIM, strlen(DIM));
    put(s, text, strlen(text));
    put(s, PLAIN "\n", strlen(PLAIN) + 1);
}

void screen_progress(const char *text)
{
    struct buf line = {0};

    if (isatty(STDERR_FILENO) != 1)
        return;
    buf_add_str(&line, ERASE);
    buf_add_printable(&line, text, strlen(text), "");
    /* Where it cannot be written nobody misses it. */
    ssize_t n = write(STDERR_FILENO, line.data, line.len);
    (void)n;
    buf_free(&line);
}
