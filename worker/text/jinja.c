/* From text to text: jinja_lex.c makes tokens, jinja_parse.c and jinja_expr.c a tree, jinja_check.c
 * looks it over; jinja_context.c makes values of the variables, jinja_exec.c and jinja_eval.c run
 * the tree upon them, and what a template can name is in the tables of jinja_call.c,
 * jinja_filters*.c, jinja_tests.c and jinja_methods.c. */
#include "worker/text/jinja.h"

#include "base/check.h"
#include "worker/text/jinja_check.h"
#include "worker/text/jinja_context.h"
#include "worker/text/jinja_eval.h"
#include "worker/text/jinja_parse.h"

#include <stdlib.h>
#include <string.h>

struct jinja {
    struct jrun run; /* owns the tree */
    struct jtree tree;
};

static struct jrun *new_run(size_t size)
{
    struct jrun *r = calloc(1, size);

    CHECK(r != NULL);
    jrun_init(r, JINJA_STEPS_MAX);
    return r;
}

static void copy_error(const struct jrun *r, struct err *e)
{
    if (e != NULL && r->err.code != 0)
        *e = r->err;
}

/* --- compiling --- */

struct source {
    const char *text;
    size_t len;
    struct jtree *tree;
};

static void compile(struct jrun *r, void *arg)
{
    const struct source *s = arg;
    struct jparse p = {.r = r, .tree = s->tree};

    r->steps_left = UINT64_MAX; /* JINJA_SOURCE_MAX bounds the work */
    s->tree->name_index = jdict_new(r);
    p.tok = jlex(r, s->text, s->len);
    jparse_template(&p);
    jcheck_tree(r, s->tree);
}

int jinja_compile(const char *text, size_t len, struct jinja **out, struct err *e)
{
    struct jinja *t = (struct jinja *)new_run(sizeof *t);
    struct source s = {text, len, &t->tree};

    *out = NULL;
    int rc = jrun_guard(&t->run, compile, &s);
    buf_free(&t->run.text);
    if (rc != 0) {
        copy_error(&t->run, e);
        jinja_free(&t);
        return rc;
    }
    *out = t;
    return 0;
}

void jinja_free(struct jinja **t)
{
    if (*t == NULL)
        return;
    jrun_free(&(*t)->run);
    free(*t);
    *t = NULL;
}

/* --- rendering --- */

struct job {
    const struct jinja *t;
    const struct jinja_input *in;
};

/* Only what the template speaks of is converted. */
static void set_globals(struct jrun *r, const struct job *job, struct jval *global)
{
    const struct jtree *tree = &job->t->tree;

    for (size_t i = 0; i < tree->n_names; i++) {
        const struct jinja_var *found = NULL;
        jrun_step(r, job->in->n_vars / 64);
        for (size_t k = 0; k < job->in->n_vars; k++)
            if (jstr_is(tree->names[i], job->in->vars[k].name))
                found = &job->in->vars[k];
        global[i] = found != NULL ? jcontext_value(r, found) : jcall_global(tree->names[i]);
    }
}

static void render(struct jrun *r, void *arg)
{
    const struct job *job = arg;
    struct jscope *s = jscope_new(r, NULL);

    r->now_s = job->in->now_s;
    s->global = jrun_alloc_array(r, job->t->tree.n_names, sizeof *s->global);
    set_globals(r, job, s->global);
    jexec_body(r, s, job->t->tree.body);
}

int jinja_render(const struct jinja *t, const struct jinja_input *in, struct buf *out,
                 struct err *e)
{
    struct jrun *r = new_run(sizeof *r);
    struct job job = {t, in};
    int rc = jrun_guard(r, render, &job);

    if (rc == 0)
        buf_add(out, r->text.data, r->text.len);
    copy_error(r, e);
    jrun_free(r);
    free(r);
    return rc;
}
