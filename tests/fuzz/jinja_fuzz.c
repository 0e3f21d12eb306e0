/* Any bytes as a template, over a context with everything in it. It ends within its limits, the
 * same way each time, and what comes out is UTF-8. */
#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "worker/text/jinja.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char context[] =
    "{\"s\":\"Hello World\",\"u\":\"h\xc3\xa9llo \xf0\x9f\x99\x82\",\"n\":42,\"f\":3.5,\"t\":true,"
    "\"nil\":null,\"w\":18446744073709551615,\"l\":[3,1,2],\"d\":{\"b\":2,\"a\":[1,{\"c\":null}]},"
    "\"messages\":[{\"role\":\"system\",\"content\":\"be\"},{\"role\":\"user\",\"content\":\" hi "
    "\"},"
    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":\"f\","
    "\"arguments\":"
    "{\"x\":1.0}}}]},{\"role\":\"tool\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]}]}";

#define VARS_MAX 16

static int render(const char *text, size_t len, const struct jinja_input *in, struct buf *out,
                  struct err *e)
{
    struct jinja *t;
    int rc = jinja_compile(text, len, &t, e);

    if (rc == 0)
        rc = jinja_render(t, in, out, e);
    jinja_free(&t);
    CHECK(rc == 0 || rc == -EINVAL || rc == -E2BIG);
    CHECK(rc == 0 ? e->code == 0 : e->code == -rc && strncmp(e->text, "line ", 5) == 0);
    CHECK(rc == 0 || out->len == 0);
    CHECK(out->len <= JINJA_OUTPUT_MAX && (out->len == 0 || utf8_valid(out->data, out->len)));
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct json_object *root; /* kept: parsed once */
    struct jinja_var vars[VARS_MAX];
    struct buf first = {0}, second = {0};
    struct err e_first = {0}, e_second = {0};
    size_t n = 0;

    if (root == NULL)
        CHECK(json_parse(context, strlen(context), &root, NULL) == 0);
    for (struct json_iterator it = json_members(root); json_next(&it);)
        vars[n++] = (struct jinja_var){.name = it.key, .kind = JINJA_JSON, .json = it.value};
    struct jinja_input in = {.vars = vars, .n_vars = n, .now_s = 1753500845};
    char *copy = malloc(size + 1); /* so that nothing is read behind the text unseen */
    CHECK(copy != NULL);
    memcpy(copy + 1, bytes, size);
    int rc = render(copy + 1, size, &in, &first, &e_first);
    CHECK(render(copy + 1, size, &in, &second, &e_second) == rc);
    CHECK(first.len == second.len);
    CHECK(first.len == 0 || memcmp(first.data, second.data, first.len) == 0);
    CHECK(strcmp(e_first.text, e_second.text) == 0);
    free(copy);
    buf_free(&first);
    buf_free(&second);
    return 0;
}
