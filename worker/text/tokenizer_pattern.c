#include "worker/text/tokenizer_pattern.h"

#include "base/check.h"
#include "base/utf8.h"
#include "worker/text/tokenizer_json.h"
#include "worker/text/unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void pattern_from_literal(struct pattern *p, const char *text, size_t len)
{
    *p = (struct pattern){.literal = malloc(len + 1), .len = len};
    CHECK(p->literal != NULL);
    CHECK(len > 0);
    memcpy(p->literal, text, len);
}

int pattern_from_regex(struct pattern *p, const char *text, size_t len, struct err *e)
{
    *p = (struct pattern){0};
    return regex_new(text, len, &p->regex, e);
}

static int read_pattern(struct pattern *p, const struct json_object *o, struct err *e)
{
    const char *text;
    size_t len;
    int rc = tokenizer_check_members(o, "String Regex", e);

    if (rc != 0)
        return rc;
    if (json_length(o) != 1)
        return err_set(e, EINVAL, "found %zu members, expected String or Regex", json_length(o));
    bool is_regex = json_get(o, "Regex") != NULL;
    rc = tokenizer_read_string(o, is_regex ? "Regex" : "String", &text, &len, e);
    if (rc != 0)
        return rc;
    if (is_regex)
        return pattern_from_regex(p, text, len, e);
    if (len == 0)
        return err_set(e, EINVAL, "String: found nothing, expected a text to look for");
    pattern_from_literal(p, text, len);
    return 0;
}

int pattern_read(struct pattern *p, const struct json_object *step, struct err *e)
{
    int rc = read_pattern(p, json_get(step, "pattern"), e);

    if (rc != 0)
        err_prefix(e, "pattern");
    return rc;
}

void pattern_free(struct pattern *p)
{
    regex_free(&p->regex);
    free(p->literal);
    *p = (struct pattern){0};
}

void pattern_begin(struct pattern_walk *k, const struct pattern *p, struct regex_work *work,
                   const char *text, size_t len, struct buf *proxies)
{
    *k = (struct pattern_walk){
        .pattern = p, .work = work, .text = text, .len = len, .last_end = SIZE_MAX};
    if (p->regex == NULL || !regex_asks_for_categories(p->regex))
        return;
    buf_clear(proxies);
    if (unicode_add_proxies(text, len, proxies))
        k->text = proxies->data;
}

static int next_literal(struct pattern_walk *k, size_t *begin, size_t *end)
{
    const struct pattern *p = k->pattern;
    const char *found = memmem(k->text + k->at, k->len - k->at, p->literal, p->len);

    if (found == NULL)
        return 0;
    *begin = (size_t)(found - k->text);
    *end = k->at = *begin + p->len;
    return 1;
}

static size_t character_length(const struct pattern_walk *k)
{
    size_t n = 1;

    if (k->at < k->len)
        utf8_decode(k->text + k->at, &n);
    return n;
}

int pattern_next(struct pattern_walk *k, size_t *begin, size_t *end, struct err *e)
{
    if (k->pattern->regex == NULL)
        return next_literal(k, begin, end);
    while (k->at <= k->len) {
        int rc = regex_find(k->pattern->regex, k->work, k->text, k->len, k->at, begin, end, e);
        if (rc != 1)
            return rc;
        if (*begin == *end && *end == k->last_end) {
            k->at += character_length(k);
            continue;
        }
        k->at = k->last_end = *end;
        return 1;
    }
    return 0;
}
