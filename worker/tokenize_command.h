/* `cortex tokenize`: cortex-worker --tokenize [--ids] DIR [TEXT|-].
 *
 * The tokens of a text (of standard input without TEXT or with "-") as the tokenizer.json in DIR
 * makes them of plain text, with what it adds at the ends. One line each: the id, a tab, and the
 * piece of text it stands for, in which a backslash, control bytes and bytes that are not UTF-8 are
 * escaped: \\ \n \r \t \xNN. With --ids the ids alone, on one line, separated by spaces. */
#ifndef WORKER_TOKENIZE_COMMAND_H
#define WORKER_TOKENIZE_COMMAND_H

#include "base/buf.h"

#include <stddef.h>

/* The arguments behind --tokenize. Exit code of the program; what went wrong is one line on
 * standard error. */
int tokenize_command(int argc, char **argv);

/* A piece as the lines have it. */
void tokenize_add_piece(struct buf *out, const char *bytes, size_t len);

#endif
