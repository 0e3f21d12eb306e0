#include "worker/engine/form.h"

#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES   ((size_t)64 << 20)
#define LINE_ENDS_MAX 16

struct forms {
    const struct tokenizer *tokenizer; /* borrowed */
    uint32_t vocab_size;
    pthread_mutex_t lock;        /* of what follows, until it is there */
    struct grammar_vocab *vocab; /* owned; NULL until the first form */
    struct grammar_cache *cache; /* owned */
    uint32_t line_ends[LINE_ENDS_MAX], n_line_ends;
};

struct forms *forms_new(const struct tokenizer *t, uint32_t vocab)
{
    struct forms *f = calloc(1, sizeof *f);

    CHECK(f != NULL && pthread_mutex_init(&f->lock, NULL) == 0);
    f->tokenizer = t;
    f->vocab_size = vocab;
    return f;
}

void forms_free(struct forms **f)
{
    if (*f == NULL)
        return;
    grammar_cache_free(&(*f)->cache);
    grammar_vocab_free(&(*f)->vocab);
    pthread_mutex_destroy(&(*f)->lock);
    free(*f);
    *f = NULL;
}

/* ---- the vocabulary ---- */

static bool is_line_ends(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '\n')
            return false;
    return len > 0;
}

static void add_bytes(void *ctx, uint32_t id, struct buf *out)
{
    struct forms *f = ctx;
    size_t from = out->len;

    if (tokenizer_is_special(f->tokenizer, id))
        return;
    tokenizer_bytes(f->tokenizer, id, out);
    if (f->n_line_ends < LINE_ENDS_MAX && is_line_ends(out->data + from, out->len - from))
        f->line_ends[f->n_line_ends++] = id;
}

static void open_vocab(struct forms *f)
{
    pthread_mutex_lock(&f->lock);
    if (f->vocab == NULL) {
        f->vocab = grammar_vocab_new(f->vocab_size, add_bytes, f);
        f->cache = grammar_cache_new(f->vocab, CACHE_BYTES);
    }
    pthread_mutex_unlock(&f->lock);
}

const uint32_t *forms_line_ends(const struct forms *f, uint32_t *n)
{
    *n = f->n_line_ends;
    return f->line_ends;
}

/* ---- tool calls ---- */

struct wish {
    const struct params *p;
    struct grammar_calls calls;
    struct grammar_tool *tools; /* owned: of calls */
};

static struct grammar_tool read_tool(const struct json_object *tool)
{
    const struct json_object *function = json_get(tool, "function");
    const struct json_object *strict = json_get(function, "strict");
    struct grammar_tool made = {.parameters = json_get(function, "parameters"),
                                .is_strict = strict != NULL && json_bool(strict)};

    made.name = json_string(json_get(function, "name"), &made.name_len);
    return made;
}

static void read_calls(struct wish *w, enum call_form_kind kind)
{
    const struct params *p = w->p;
    bool is_one = p->tool_choice == TOOLS_NAMED;
    size_t n = is_one ? 1 : json_length(p->tools);

    w->tools = calloc(n, sizeof *w->tools);
    CHECK(w->tools != NULL);
    for (size_t i = 0; i < n; i++)
        w->tools[i] = read_tool(json_at(p->tools, is_one ? p->tool : i));
    w->calls =
        (struct grammar_calls){.form = kind == CALL_FORM_XML ? GRAMMAR_CALL_XML : GRAMMAR_CALL_JSON,
                               .tools = w->tools,
                               .n_tools = n,
                               .is_optional = p->tool_choice == TOOLS_AUTO,
                               .is_parallel = p->has_parallel_calls,
                               .has_content = p->format != FORMAT_TEXT,
                               .content = p->schema};
}

static int compile_calls(const void *ctx, const struct grammar_vocab *v, struct grammar **out,
                         struct err *e)
{
    return grammar_compile_calls(v, &((const struct wish *)ctx)->calls, NULL, out, e);
}

/* Tools whose schema cannot be compiled by itself become plain ones; should that not be enough, all
 * do. */
static int compile_plainer(const void *ctx, const struct grammar_vocab *v, struct grammar **out,
                           struct err *e)
{
    const struct wish *w = ctx;
    struct grammar_calls one = w->calls;

    one.n_tools = 1;
    for (size_t i = 0; i < w->calls.n_tools; i++) {
        struct grammar *alone = NULL;
        one.tools = &w->tools[i];
        if (w->tools[i].is_strict && grammar_compile_calls(v, &one, NULL, &alone, e) != 0)
            w->tools[i].is_strict = false;
        grammar_unref(&alone);
    }
    if (compile_calls(w, v, out, e) == 0)
        return 0;
    for (size_t i = 0; i < w->calls.n_tools; i++)
        w->tools[i].is_strict = false;
    return compile_calls(w, v, out, e);
}

static int compile_none(const void *ctx, const struct grammar_vocab *v, struct grammar **out,
                        struct err *e)
{
    (void)ctx;
    (void)v;
    (void)out;
    return err_set(e, ENOENT, "not compiled before");
}

static void write_key(const struct wish *w, struct buf *key)
{
    buf_printf(key, "c%d%d%d%d%u", (int)w->calls.form, w->calls.is_optional, w->calls.is_parallel,
               w->calls.has_content, w->p->tool_choice == TOOLS_NAMED ? w->p->tool + 1 : 0);
    json_write(w->p->tools, key);
    if (w->p->schema != NULL)
        json_write(w->p->schema, key);
}

/* What became plainer is kept by a longer key, so that it is not tried in vain each time. */
static int find_calls(struct forms *f, struct wish *w, struct grammar **out, bool *is_unconstrained,
                      struct err *e)
{
    struct grammar_cache *c = f->cache;
    struct buf key = {0};

    write_key(w, &key);
    size_t len = key.len;
    buf_add_str(&key, "plainer");
    *is_unconstrained = grammar_cache_get(c, key.data, key.len, compile_none, w, out, e) == 0;
    int rc = *is_unconstrained ? 0 : grammar_cache_get(c, key.data, len, compile_calls, w, out, e);
    if (rc != 0) {
        *is_unconstrained = true;
        rc = grammar_cache_get(c, key.data, key.len, compile_plainer, w, out, e);
    }
    if (rc == 0)
        *e = (struct err){0}; /* of what was tried before */
    buf_free(&key);
    return rc;
}

/* ---- the whole ---- */

static int compile_format(const void *ctx, const struct grammar_vocab *v, struct grammar **out,
                          struct err *e)
{
    const struct params *p = ((const struct wish *)ctx)->p;

    if (p->format == FORMAT_JSON)
        return grammar_compile_object(v, out, e);
    int rc = grammar_compile_schema(v, p->schema, NULL, out, e);
    return rc == 0 ? 0 : err_prefix(e, "the schema of the answer");
}

static int find_format(struct forms *f, const struct wish *w, struct grammar **out, struct err *e)
{
    struct buf key = {0};

    buf_add_char(&key, 'f');
    if (w->p->schema != NULL)
        json_write(w->p->schema, &key);
    int rc = grammar_cache_get(f->cache, key.data, key.len, compile_format, w, out, e);
    buf_free(&key);
    return rc;
}

int forms_find(struct forms *f, const struct params *p, enum call_form_kind kind,
               struct grammar **out, bool *is_unconstrained, struct err *e)
{
    struct wish w = {.p = p};
    bool has_calls = json_length(p->tools) > 0 && kind != CALL_FORM_NONE;
    int rc;

    *out = NULL;
    *is_unconstrained = false;
    if (!has_calls && p->format == FORMAT_TEXT)
        return 0;
    open_vocab(f);
    rc = p->format != FORMAT_TEXT ? find_format(f, &w, out, e) : 0;
    if (rc == 0 && has_calls) { /* the schema of the answer is a good one: now both */
        grammar_unref(out);
        read_calls(&w, kind);
        rc = find_calls(f, &w, out, is_unconstrained, e);
    }
    free(w.tools);
    return rc;
}
