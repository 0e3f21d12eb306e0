/* tokenizer_driver TOKENIZER_DIR: encodes and decodes for compare_tokenizer.py. Each request on
 * standard input is a number of bytes and that many bytes of text, each answer on standard output
 * the number of ids, the ids, and the text that they decode to with special tokens, behind its
 * length. A request whose number has IS_IDS set brings ids instead of a text, and they come back.
 * All numbers are uint32_t of this machine. The answer to what cannot be encoded is UINT32_MAX. */
#include "base/check.h"
#include "worker/text/tokenizer.h"

#include <stdio.h>
#include <string.h>

#define IS_IDS 0x80000000u

static void write_u32(uint32_t v)
{
    CHECK(fwrite(&v, sizeof v, 1, stdout) == 1);
}

static int read_ids(const char *data, size_t len, struct token_ids *ids)
{
    for (size_t i = 0; i + sizeof *ids->id <= len; i += sizeof *ids->id) {
        uint32_t id;
        memcpy(&id, data + i, sizeof id);
        token_ids_add(ids, id);
    }
    return 0;
}

static void answer(const struct tokenizer *t, const char *data, size_t len, bool is_ids)
{
    struct tokenizer_input in = {.text = data, .len = len, .add_special = true};
    struct token_ids ids = {0};
    struct buf out = {0};
    struct detokenizer d;
    struct err e = {0};
    int rc = is_ids ? read_ids(data, len, &ids) : tokenizer_encode(t, &in, &ids, &e);

    if (rc != 0) {
        fprintf(stderr, "tokenizer_driver: %s\n", e.text);
        write_u32(UINT32_MAX);
        return;
    }
    detokenizer_init(&d, t, true);
    for (size_t i = 0; i < ids.n; i++)
        detokenizer_push(&d, ids.id[i], &out);
    write_u32((uint32_t)ids.n);
    CHECK(ids.n == 0 || fwrite(ids.id, sizeof *ids.id, ids.n, stdout) == ids.n);
    write_u32((uint32_t)out.len);
    CHECK(out.len == 0 || fwrite(out.data, out.len, 1, stdout) == 1);
    token_ids_free(&ids);
    buf_free(&out);
}

int main(int argc, char **argv)
{
    struct buf text = {0};
    struct tokenizer *t;
    struct root root;
    struct err e = {0};
    uint32_t len;

    if (argc != 2) {
        fprintf(stderr, "usage: tokenizer_driver TOKENIZER_DIR\n");
        return EXIT_PERMANENT;
    }
    if (root_open(&root, argv[1], &e) != 0 || tokenizer_load(&root, &t, &e) != 0) {
        fprintf(stderr, "tokenizer_driver: %s\n", e.text);
        return EXIT_PERMANENT;
    }
    while (fread(&len, sizeof len, 1, stdin) == 1) {
        bool is_ids = (len & IS_IDS) != 0;
        len &= ~IS_IDS;
        buf_clear(&text);
        CHECK(fread(buf_reserve(&text, len + 1), 1, len, stdin) == len);
        answer(t, text.data, len, is_ids);
        fflush(stdout);
    }
    buf_free(&text);
    tokenizer_free(&t);
    root_close(&root);
    return EXIT_OK;
}
