#include "worker/tokenize_command.h"

#include "base/utf8.h"
#include "worker/text/tokenizer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_BYTES (1u << 16)

struct command {
    bool is_ids;
    const char *dir, *text; /* borrowed; text NULL = standard input */
};

void tokenize_add_piece(struct buf *out, const char *bytes, size_t len)
{
    static const char named[] = "\\\n\r\t", letters[] = "\\nrt";

    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)bytes[i];
        size_t n = utf8_sequence(bytes + i, len - i);
        const char *name = c != '\0' ? strchr(named, c) : NULL;
        bool is_c1 = n == 2 && c == 0xc2 && (unsigned char)bytes[i + 1] < 0xa0;
        if (name != NULL) {
            buf_add_char(out, '\\');
            buf_add_char(out, letters[name - named]);
        } else if (n == 0 || c < 0x20 || c == 0x7f || is_c1) {
            n = n == 0 ? 1 : n;
            for (size_t k = 0; k < n; k++)
                buf_printf(out, "\\x%02x", (unsigned char)bytes[i + k]);
        } else {
            buf_add(out, bytes + i, n);
        }
        i += n;
    }
}

/* ---- the command line ---- */

static void print_page(void)
{
    printf(
        "cortex tokenize: the tokens of a text, as the model in DIR reads it\n\n"
        "usage: cortex tokenize [--ids] DIR [TEXT|-]\n\n"
        "Prints a line for each token of TEXT, or of standard input: its id, a tab, and what it\n"
        "stands for, in which backslash, control bytes and bytes that are no UTF-8 are \\\\, \\n,\n"
        "\\r, \\t, \\xNN. What the tokenizer adds at the ends of a plain text is part of it.\n\n"
        "  --ids   the ids alone, on one line\n"
        "  --help  this page\n");
}

/* 1 = go on, else *code is the exit code. */
static int parse(struct command *c, int argc, char **argv, int *code)
{
    int i = 0;

    *c = (struct command){0};
    *code = EXIT_PERMANENT;
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_page();
            *code = EXIT_OK;
            return 0;
        }
        if (strcmp(argv[i], "--ids") != 0) {
            fprintf(stderr, "cortex: tokenize: %s: unknown option; `cortex help tokenize`\n",
                    argv[i]);
            return 0;
        }
        c->is_ids = true;
    }
    if (argc - i < 1 || argc - i > 2) {
        fprintf(stderr,
                "cortex: tokenize: found %d arguments, expected DIR and at most one TEXT, in "
                "quotes; `cortex help tokenize`\n",
                argc - i);
        return 0;
    }
    c->dir = argv[i];
    if (argc - i == 2 && strcmp(argv[i + 1], "-") != 0)
        c->text = argv[i + 1];
    return 1;
}

/* ---- the work ---- */

static int read_input(struct buf *text, struct err *e)
{
    ssize_t n;

    while ((n = read(STDIN_FILENO, buf_reserve(text, FLUSH_BYTES), FLUSH_BYTES)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "standard input: %s", strerror(errno));
        buf_commit(text, (size_t)n);
        if (text->len > TOKENIZER_TEXT_MAX)
            return err_set(e, EFBIG, "standard input: more than %u bytes", TOKENIZER_TEXT_MAX);
    }
    return 0;
}

static int flush(struct buf *out, size_t least, struct err *e)
{
    if (buf_pending(out) < least)
        return 0;
    while (buf_pending(out) > 0) {
        ssize_t n = write(STDOUT_FILENO, out->data + out->pos, buf_pending(out));
        if (n < 0 && errno != EINTR)
            return err_set(e, errno, "write: %s", strerror(errno));
        if (n > 0)
            buf_consume(out, (size_t)n);
    }
    return 0;
}

static int print_tokens(const struct command *c, const struct tokenizer *t,
                        const struct token_ids *ids, struct err *e)
{
    struct buf out = {0}, piece = {0};
    int rc = 0;

    for (size_t i = 0; i < ids->n && rc == 0; i++) {
        if (c->is_ids) {
            buf_printf(&out, "%s%" PRIu32, i > 0 ? " " : "", ids->id[i]);
        } else {
            buf_clear(&piece);
            tokenizer_bytes(t, ids->id[i], &piece);
            buf_printf(&out, "%" PRIu32 "\t", ids->id[i]);
            tokenize_add_piece(&out, buf_text(&piece), buf_pending(&piece));
            buf_add_char(&out, '\n');
        }
        rc = flush(&out, FLUSH_BYTES, e);
    }
    if (c->is_ids)
        buf_add_char(&out, '\n');
    if (rc == 0)
        rc = flush(&out, 0, e);
    buf_free(&piece);
    buf_free(&out);
    return rc;
}

static int tokenize(const struct command *c, const struct tokenizer *t, struct err *e)
{
    struct buf input = {0};
    struct token_ids ids = {0};
    struct tokenizer_input in = {.text = c->text, .add_special = true};
    int rc = c->text == NULL ? read_input(&input, e) : 0;

    in.len = c->text != NULL ? strlen(c->text) : buf_pending(&input);
    if (c->text == NULL)
        in.text = buf_text(&input);
    if (rc == 0)
        rc = tokenizer_encode(t, &in, &ids, e);
    if (rc == 0)
        rc = print_tokens(c, t, &ids, e);
    token_ids_free(&ids);
    buf_free(&input);
    return rc;
}

int tokenize_command(int argc, char **argv)
{
    struct command c;
    struct tokenizer *t = NULL;
    struct root root;
    struct err e = {0};
    int code;

    if (!parse(&c, argc, argv, &code))
        return code;
    int rc = root_open(&root, c.dir, &e);
    if (rc == 0) {
        rc = tokenizer_load(&root, &t, &e);
        root_close(&root);
    }
    if (rc == 0)
        rc = tokenize(&c, t, &e);
    if (t != NULL)
        tokenizer_free(&t);
    if (rc == 0)
        return EXIT_OK;
    fprintf(stderr, "cortex: tokenize: %s\n", e.text);
    return EXIT_PERMANENT;
}
