#include "worker/text/regex.h"

#include "base/check.h"
#include "worker/text/regex_translate.h"

#include <errno.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define HEAP_KIB_MAX 65536   /* of the matcher without JIT */
#define STACK_MAX    4194304 /* of the one with it */
#define LIMIT_FIRST  2000    /* is enough for nearly every match; more is paid from the budget */
#define LIMIT_GROWTH 16

struct regex {
    pcre2_code *code;
    bool is_compiled; /* to machine code, where PCRE2 can; its matches and limits are the same */
    bool asks_for_categories;
};

struct regex_work {
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
    uint32_t budget;
};

/* --- patterns --- */

/* Since 10.40 the bare name of a script means its extensions, too. */
static const char *script_prefix(void)
{
    char version[64] = "";

    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof version)
        pcre2_config(PCRE2_CONFIG_VERSION, version);
    char *minor;
    long major = strtol(version, &minor, 10);
    bool is_new = major > 10 || (major == 10 && *minor == '.' && strtol(minor + 1, NULL, 10) >= 40);
    return is_new ? "sc:" : "";
}

static int compile(struct regex *r, const struct regex_translation *t, struct err *e)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    char text[128] = "";
    PCRE2_SIZE at;
    int code;

    CHECK(context != NULL);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    r->code = pcre2_compile((PCRE2_SPTR)t->pattern.data, t->pattern.len,
                            PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &at, context);
    pcre2_compile_context_free(context);
    if (r->code == NULL) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
        return err_set(e, EINVAL, "PCRE2 refused it: %s", text);
    }
    r->is_compiled = pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE) == 0;
    return 0;
}

int regex_new(const char *pattern, size_t len, struct regex **out, struct err *e)
{
    struct regex_translation t;
    int rc = regex_translate(pattern, len, script_prefix(), &t, e);

    *out = NULL;
    if (rc != 0)
        return rc;
    struct regex *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->asks_for_categories = t.asks_for_categories;
    rc = compile(r, &t, e);
    buf_free(&t.pattern);
    if (rc == 0)
        *out = r;
    else
        regex_free(&r);
    return rc;
}

void regex_free(struct regex **r)
{
    if (*r == NULL)
        return;
    pcre2_code_free((*r)->code);
    free(*r);
    *r = NULL;
}

bool regex_asks_for_categories(const struct regex *r)
{
    return r->asks_for_categories;
}

/* --- matching --- */

struct regex_work *regex_work_new(void)
{
    struct regex_work *w = calloc(1, sizeof *w);

    CHECK(w != NULL);
    w->context = pcre2_match_context_create(NULL);
    w->data = pcre2_match_data_create(1, NULL);
    w->stack = pcre2_jit_stack_create(32768, STACK_MAX, NULL); /* NULL without JIT */
    CHECK(w->context != NULL);
    CHECK(w->data != NULL);
    if (w->stack != NULL)
        pcre2_jit_stack_assign(w->context, NULL, w->stack);
    pcre2_set_heap_limit(w->context, HEAP_KIB_MAX);
    regex_work_begin(w);
    return w;
}

void regex_work_free(struct regex_work **w)
{
    if (*w == NULL)
        return;
    pcre2_match_context_free((*w)->context);
    pcre2_match_data_free((*w)->data);
    pcre2_jit_stack_free((*w)->stack);
    free(*w);
    *w = NULL;
}

void regex_work_begin(struct regex_work *w)
{
    w->budget = REGEX_BUDGET;
}

static int match(const struct regex *r, struct regex_work *w, const char *text, size_t len,
                 size_t from, uint32_t limit)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)text;

    pcre2_set_match_limit(w->context, limit);
    pcre2_set_depth_limit(w->context, limit);
    if (r->is_compiled)
        return pcre2_jit_match(r->code, subject, len, from, PCRE2_NO_UTF_CHECK, w->data,
                               w->context);
    return pcre2_match(r->code, subject, len, from, PCRE2_NO_UTF_CHECK, w->data, w->context);
}

static int refuse_text(int rc, struct err *e)
{
    char text[128] = "";

    pcre2_get_error_message(rc, (PCRE2_UCHAR *)text, sizeof text);
    return err_set(e, E2BIG, "the text is too much for a pattern of the tokenizer: %s", text);
}

int regex_find(const struct regex *r, struct regex_work *w, const char *text, size_t len,
               size_t from, size_t *begin, size_t *end, struct err *e)
{
    uint32_t limit = LIMIT_FIRST;
    int rc;

    CHECK(from <= len);
    while ((rc = match(r, w, text, len, from, limit)) == PCRE2_ERROR_MATCHLIMIT ||
           rc == PCRE2_ERROR_DEPTHLIMIT) {
        if (limit > w->budget / LIMIT_GROWTH)
            return refuse_text(rc, e);
        limit *= LIMIT_GROWTH;
        w->budget -= limit; /* of this next one, and so of more than the last */
    }
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc < 0)
        return refuse_text(rc, e);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(w->data);
    *begin = ends[0];
    *end = ends[1];
    return 1;
}
