/* tokenizer -- CPU time of loading a tokenizer.json and of encoding texts, for run-tokenizer.
 *
 *   tokenizer DIR
 *
 * Texts come on standard input, each behind its length as a uint32_t of this machine, up to a
 * length of 0.  After that each byte asks for a round, and is answered by a line: seconds of this
 * thread's CPU time and ids in all.  The first line says how long loading took. */
#include "worker/text/tokenizer.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* All texts, one after another, each behind its length. */
static int read_texts(struct buf *texts)
{
    uint32_t len;

    while (fread(&len, sizeof len, 1, stdin) == 1 && len > 0) {
        buf_add(texts, &len, sizeof len);
        if (fread(buf_reserve(texts, len), 1, len, stdin) != len)
            return -1;
        buf_commit(texts, len);
    }
    return 0;
}

static size_t encode_all(const struct tokenizer *t, const struct buf *texts)
{
    struct token_ids ids = {0};
    size_t n = 0;
    uint32_t len;

    for (size_t at = 0; at < texts->len; at += sizeof len + len) {
        memcpy(&len, texts->data + at, sizeof len);
        struct tokenizer_input in = {.text = texts->data + at + sizeof len, .len = len};
        ids.n = 0;
        if (tokenizer_encode(t, &in, &ids, NULL) != 0)
            exit(EXIT_PERMANENT);
        n += ids.n;
    }
    token_ids_free(&ids);
    return n;
}

int main(int argc, char **argv)
{
    struct tokenizer *t;
    struct buf texts = {0};
    struct root root;
    struct err e = {0};

    if (argc != 2) {
        fprintf(stderr, "usage: tokenizer DIR\n");
        return EXIT_PERMANENT;
    }
    double began = cpu_seconds();
    if (root_open(&root, argv[1], &e) != 0 || tokenizer_load(&root, &t, &e) != 0) {
        fprintf(stderr, "tokenizer: %s\n", e.text);
        return EXIT_PERMANENT;
    }
    printf("%.6f\n", cpu_seconds() - began);
    fflush(stdout);
    if (read_texts(&texts) != 0)
        return EXIT_PERMANENT;
    while (getchar() != EOF) {
        began = cpu_seconds();
        size_t n = encode_all(t, &texts);
        printf("%.6f %zu\n", cpu_seconds() - began, n);
        fflush(stdout);
    }
    buf_free(&texts);
    tokenizer_free(&t);
    root_close(&root);
    return EXIT_OK;
}
