/* Where an answer is shown: a terminal, with the reasoning dimmed and nothing in it that could
 * command the terminal; or a pipe, which gets the bytes of the answer and nothing else. */
#ifndef TOOLS_CHAT_SCREEN_H
#define TOOLS_CHAT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

struct screen {
    bool is_terminal; /* standard output */
    bool is_dim, has_text;
    bool is_broken; /* nobody reads any more */
    char last;
};

void screen_open(struct screen *s);
void screen_reasoning(struct screen *s, const char *text, size_t len);
void screen_content(struct screen *s, const char *text, size_t len);
/* The answer is over, however: a whole line, in the terminal's own colours. */
void screen_end(struct screen *s);

/* A line of our own below the answer, on a terminal only. */
void screen_note(struct screen *s, const char *text);

/* A line about what goes on, on standard error, when that is a terminal. It overwrites the last
 * one;
 * "" takes it away. */
void screen_progress(const char *text);

#endif
