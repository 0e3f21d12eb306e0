#include "base/json.h"

#include "base/check.h"
#include "base/json_check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* json-c's headers declare types of two of our names. */
#define json_bool json_c_bool
#define json_type json_c_type
#include <json-c/json.h>
#undef json_bool
#undef json_type

#define FEED_MAX     (1 << 30) /* json-c counts bytes in an int */
#define KEEP_MAX     65536     /* a reader that has read more gives json-c's buffers back */
#define WRITE_BUDGET (1 << 20)

/* --- reading --- */

struct json_reader {
    struct json_check *check;
    struct json_tokener *tokener;
    struct json_object *root; /* owned until finish hands it over */
    bool has_root;            /* the root may be NULL: null */
    size_t fed;
    struct err err; /* sticky: json-c refused */
};

static struct json_tokener *make_tokener(void)
{
    struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH_MAX + 1);

    CHECK(t != NULL);
    json_tokener_set_flags(t, JSON_TOKENER_STRICT);
    return t;
}

struct json_reader *json_reader_new(void)
{
    struct json_reader *r = calloc(1, sizeof *r);

    CHECK(r != NULL);
    r->check = json_check_new();
    r->tokener = make_tokener();
    return r;
}

struct json_reader *json_reader_new_large(uint32_t nodes_max)
{
    struct json_reader *r = json_reader_new();

    json_check_allow_nodes(r->check, nodes_max);
    return r;
}

void json_reader_free(struct json_reader **r)
{
    if (*r == NULL)
        return;
    json_check_free(&(*r)->check);
    json_tokener_free((*r)->tokener);
    json_free(&(*r)->root);
    free(*r);
    *r = NULL;
}

void json_reader_reset(struct json_reader *r)
{
    /* json_tokener_reset() forgets to drop the first half of a surrogate pair, so a tokener that
     * has been left in the middle of a document would put it in front of the next one's text. */
    bool is_clean = r->fed == 0 || r->has_root;

    json_check_reset(r->check);
    json_free(&r->root);
    if (!is_clean || r->fed > KEEP_MAX) {
        json_tokener_free(r->tokener);
        r->tokener = make_tokener();
    } else {
        json_tokener_reset(r->tokener);
    }
    r->has_root = false;
    r->fed = 0;
    r->err.code = 0;
}

/* Validated bytes into the tree. Behind the root there is only white space. */
static int extend_tree(struct json_reader *r, const char *data, size_t len, struct err *e)
{
    while (len > 0 && !r->has_root && r->err.code == 0) {
        size_t n = len < FEED_MAX ? len : FEED_MAX;
        r->root = json_tokener_parse_ex(r->tokener, data, (int)n);
        enum json_tokener_error rc = json_tokener_get_error(r->tokener);
        if (rc == json_tokener_success)
            r->has_root = true;
        else if (rc != json_tokener_continue)
            err_set(&r->err, EINVAL, "byte %zu: json-c refused a valid document: %s",
                    r->fed + json_tokener_get_parse_end(r->tokener), json_tokener_error_desc(rc));
        r->fed += n;
        data += n;
        len -= n;
    }
    if (r->err.code != 0 && e != NULL)
        *e = r->err;
    return -r->err.code;
}

/* A fraction keeps json-c from saturating the integer that has just been read. */
static int end_wide(struct json_reader *r, struct err *e)
{
    return json_check_is_wide(r->check) ? extend_tree(r, ".0", 2, e) : 0;
}

int json_reader_feed(struct json_reader *r, const char *data, size_t len, struct err *e)
{
    size_t used = 0;
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < len; at += used) {
        rc = json_check_feed_to_wide(r->check, data + at, len - at, &used, e);
        if (rc == 0)
            rc = extend_tree(r, data + at, used, e);
        if (rc == 0)
            rc = end_wide(r, e);
    }
    return rc;
}

int json_reader_finish(struct json_reader *r, struct json_object **root, struct err *e)
{
    *root = NULL;
    int rc = json_check_finish(r->check, e);
    if (rc == 0)
        rc = end_wide(r, e);
    if (rc == 0)
        rc = extend_tree(r, "", 1, e); /* the NUL ends a number */
    if (rc != 0)
        return rc;
    CHECK(r->has_root);
    *root = r->root;
    r->root = NULL;
    return 0;
}

int json_parse(const char *data, size_t len, struct json_object **root, struct err *e)
{
    return json_parse_large(data, len, JSON_NODES_MAX, root, e);
}

int json_parse_large(const char *data, size_t len, uint32_t nodes_max, struct json_object **root,
                     struct err *e)
{
    struct json_reader *r = json_reader_new_large(nodes_max);

    *root = NULL;
    int rc = json_reader_feed(r, data, len, e);
    if (rc == 0)
        rc = json_reader_finish(r, root, e);
    json_reader_free(&r);
    return rc;
}

void json_free(struct json_object **root)
{
    json_object_put(*root);
    *root = NULL;
}

/* Empty a container from its end (arrays) or its beginning (objects), depth first. True = empty. */
static bool empty_some(struct json_object *o, size_t *budget)
{
    if (json_object_is_type(o, json_type_array)) {
        for (size_t n; (n = json_object_array_length(o)) > 0; --*budget) {
            if (*budget == 0 || !empty_some(json_object_array_get_idx(o, n - 1), budget))
                return false;
            if (*budget == 0)
                return false;
            json_object_array_del_idx(o, n - 1, 1);
        }
    } else if (json_object_is_type(o, json_type_object)) {
        for (struct lh_entry *first; (first = lh_table_head(json_object_get_object(o))) != NULL;
             --*budget) {
            if (*budget == 0 || !empty_some(lh_entry_v(first), budget))
                return false;
            if (*budget == 0)
                return false;
            json_object_object_del(o, lh_entry_k(first));
        }
    }
    return true;
}

int json_free_step(struct json_object **root, size_t budget)
{
    if (*root != NULL && !empty_some(*root, &budget))
        return 0;
    json_free(root);
    return 1;
}

/* --- looking --- */

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",     [JSON_BOOL] = "boolean", [JSON_NUMBER] = "number",
        [JSON_STRING] = "string", [JSON_ARRAY] = "array",  [JSON_OBJECT] = "object",
    };
    return names[type];
}

enum json_type json_type_of(const struct json_object *o)
{
    switch (json_object_get_type(o)) {
    case json_type_null:
        return JSON_NULL;
    case json_type_boolean:
        return JSON_BOOL;
    case json_type_double:
    case json_type_int:
        return JSON_NUMBER;
    case json_type_string:
        return JSON_STRING;
    case json_type_array:
        return JSON_ARRAY;
    case json_type_object:
        return JSON_OBJECT;
    }
    CHECK_UNREACHABLE("a type json-c does not list");
}

bool json_is(const struct json_object *o, enum json_type type)
{
    return o != NULL && json_type_of(o) == type;
}

bool json_is_string(const struct json_object *o, const char *text)
{
    size_t len;

    if (!json_is(o, JSON_STRING))
        return false;
    const char *found = json_string(o, &len);
    return len == strlen(text) && memcmp(found, text, len) == 0;
}

struct json_object *json_get(const struct json_object *o, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(o, key, &value);
    return value;
}

size_t json_length(const struct json_object *o)
{
    enum json_type type = json_type_of(o);

    if (type == JSON_ARRAY)
        return json_object_array_length(o);
    return type == JSON_OBJECT ? (size_t)json_object_object_length(o) : 0;
}

struct json_object *json_at(const struct json_object *o, size_t i)
{
    CHECK(json_type_of(o) == JSON_ARRAY);
    return json_object_array_get_idx(o, i);
}

bool json_bool(const struct json_object *o)
{
    CHECK(json_type_of(o) == JSON_BOOL);
    return json_object_get_boolean(o);
}

double json_number(const struct json_object *o)
{
    CHECK(json_type_of(o) == JSON_NUMBER);
    return json_object_get_double(o);
}

static bool is_unsigned(const struct json_object *o)
{
    return json_object_get_int64(o) == INT64_MAX && json_object_get_uint64(o) > INT64_MAX;
}

bool json_is_integer(const struct json_object *o)
{
    switch (json_object_get_type(o)) {
    case json_type_int:
        return !is_unsigned(o);
    case json_type_double: {
        double d = json_object_get_double(o);
        return trunc(d) == d && d >= -0x1p63 && d < 0x1p63;
    }
    case json_type_null:
    case json_type_boolean:
    case json_type_string:
    case json_type_array:
    case json_type_object:
        return false;
    }
    return false;
}

int64_t json_integer(const struct json_object *o)
{
    CHECK(json_is_integer(o));
    return json_object_get_int64(o);
}

bool json_is_double(const struct json_object *o)
{
    return json_object_get_type(o) == json_type_double;
}

uint64_t json_unsigned(const struct json_object *o)
{
    CHECK(json_object_get_type(o) == json_type_int);
    return json_object_get_uint64(o);
}

const char *json_string(const struct json_object *o, size_t *len)
{
    CHECK(json_type_of(o) == JSON_STRING);
    if (len != NULL)
        *len = (size_t)json_object_get_string_len(o);
    return json_object_get_string((struct json_object *)o); /* of a string: changes nothing */
}

struct json_iterator json_members(const struct json_object *o)
{
    struct json_iterator it = {0};

    if (json_type_of(o) == JSON_OBJECT)
        it.state[0] = json_object_get_object(o)->head;
    return it;
}

bool json_next(struct json_iterator *it)
{
    struct lh_entry *entry = it->state[0];

    if (entry == NULL)
        return false;
    it->key = lh_entry_k(entry);
    it->value = lh_entry_v(entry);
    it->state[0] = lh_entry_next(entry);
    return true;
}

/* --- changing --- */

struct json_object *json_new_object(void)
{
    struct json_object *o = json_object_new_object();

    CHECK(o != NULL);
    return o;
}

struct json_object *json_new_array(void)
{
    struct json_object *o = json_object_new_array();

    CHECK(o != NULL);
    return o;
}

struct json_object *json_new_string(const char *text, size_t len)
{
    CHECK(len <= INT32_MAX);
    struct json_object *o = json_object_new_string_len(text, (int)len);

    CHECK(o != NULL);
    return o;
}

struct json_object *json_share(const struct json_object *o)
{
    return json_object_get((struct json_object *)(uintptr_t)o);
}

void json_put(struct json_object *o, const char *key, struct json_object *value)
{
    CHECK(json_type_of(o) == JSON_OBJECT && value != NULL);
    CHECK(json_object_object_add(o, key, value) == 0);
}

void json_put_string(struct json_object *o, const char *key, const char *text, size_t len)
{
    json_put(o, key, json_new_string(text, len));
}

void json_put_bool(struct json_object *o, const char *key, bool value)
{
    json_put(o, key, json_object_new_boolean(value));
}

void json_put_integer(struct json_object *o, const char *key, int64_t value)
{
    json_put(o, key, json_object_new_int64(value));
}

void json_append(struct json_object *array, struct json_object *value)
{
    CHECK(json_type_of(array) == JSON_ARRAY && value != NULL);
    CHECK(json_object_array_add(array, value) == 0);
}

void json_remove(struct json_object *o, const char *key)
{
    json_object_object_del(o, key);
}

void json_set_string(struct json_object *o, const char *text, size_t len)
{
    CHECK(json_type_of(o) == JSON_STRING && len <= INT32_MAX);
    CHECK(json_object_set_string_len(o, text, (int)len) == 1);
}

/* --- writing --- */

struct level {
    const struct json_object *container; /* borrowed */
    struct lh_entry *entry;              /* object: the next member */
    size_t i;                            /* array: the next element */
};

struct json_writer {
    const struct json_object *value; /* borrowed; to be written next when is_at_value */
    bool is_at_value;
    bool is_key;        /* the string being written is one */
    const char *string; /* rest of the string being written, NULL = none; borrowed */
    size_t string_left;
    size_t depth;
    struct level level[JSON_DEPTH_MAX];
};

struct json_writer *json_writer_new(const struct json_object *root)
{
    struct json_writer *w = calloc(1, sizeof *w);

    CHECK(w != NULL);
    w->value = root;
    w->is_at_value = true;
    return w;
}

void json_writer_free(struct json_writer **w)
{
    free(*w);
    *w = NULL;
}

static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

static void add_escape(struct buf *out, char c)
{
    static const char bytes[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *byte = c != '\0' ? strchr(bytes, c) : NULL;

    if (byte == NULL) {
        buf_printf(out, "\\u%04x", (unsigned char)c);
        return;
    }
    buf_add_char(out, '\\');
    buf_add_char(out, names[byte - bytes]);
}

static void begin_string(struct json_writer *w, struct buf *out, const char *s, size_t len)
{
    buf_add_char(out, '"');
    w->string = s;
    w->string_left = len;
}

/* At most budget bytes of the string, and its end. */
static void write_string(struct json_writer *w, struct buf *out, size_t budget)
{
    size_t n = w->string_left < budget ? w->string_left : budget;
    const char *end = w->string + n;

    while (w->string < end) {
        const char *from = w->string;
        while (w->string < end && is_plain(*w->string))
            w->string++;
        buf_add(out, from, (size_t)(w->string - from));
        if (w->string < end)
            add_escape(out, *w->string++);
    }
    w->string_left -= n;
    if (w->string_left > 0)
        return;
    w->string = NULL;
    buf_add_str(out, w->is_key ? "\":" : "\"");
    w->is_at_value = w->is_key;
    w->is_key = false;
}

static void write_integer(struct buf *out, const struct json_object *o)
{
    int64_t v = json_object_get_int64(o);

    if (v < 0)
        buf_add_char(out, '-');
    buf_add_u64(out, v < 0 ? 0 - (uint64_t)v : json_object_get_uint64(o));
}

static void write_double(struct buf *out, double d)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    buf_add_str(out, text);
    if (strpbrk(text, ".e") == NULL)
        buf_add_str(out, ".0");
}

static void open_level(struct json_writer *w, struct buf *out, const struct json_object *o)
{
    bool is_object = json_object_is_type(o, json_type_object);
    struct lh_entry *first = is_object ? json_object_get_object(o)->head : NULL;

    CHECK(w->depth < JSON_DEPTH_MAX);
    w->level[w->depth++] = (struct level){.container = o, .entry = first};
    buf_add_char(out, is_object ? '{' : '[');
}

static void write_value(struct json_writer *w, struct buf *out)
{
    const struct json_object *o = w->value;
    size_t len;
    const char *s;

    w->is_at_value = false;
    switch (json_object_get_type(o)) {
    case json_type_null:
        buf_add_str(out, "null");
        return;
    case json_type_boolean:
        buf_add_str(out, json_object_get_boolean(o) ? "true" : "false");
        return;
    case json_type_int:
        write_integer(out, o);
        return;
    case json_type_double:
        write_double(out, json_object_get_double(o));
        return;
    case json_type_string:
        s = json_string(o, &len);
        begin_string(w, out, s, len);
        return;
    case json_type_array:
    case json_type_object:
        open_level(w, out, o);
        return;
    }
}

/* The comma and key in front of the next value of the innermost container, or its end. */
static void advance(struct json_writer *w, struct buf *out)
{
    struct level *l = &w->level[w->depth - 1];
    bool is_object = json_object_is_type(l->container, json_type_object);

    if (is_object ? l->entry == NULL : l->i == json_object_array_length(l->container)) {
        buf_add_char(out, is_object ? '}' : ']');
        w->depth--;
        return;
    }
    if (l->i++ > 0)
        buf_add_char(out, ',');
    if (is_object) {
        const char *key = lh_entry_k(l->entry);
        w->value = lh_entry_v(l->entry);
        l->entry = lh_entry_next(l->entry);
        w->is_key = true;
        begin_string(w, out, key, strlen(key));
    } else {
        w->value = json_object_array_get_idx(l->container, l->i - 1);
        w->is_at_value = true;
    }
}

int json_writer_step(struct json_writer *w, struct buf *out, size_t budget)
{
    size_t before = buf_pending(out);

    while (w->string != NULL || w->is_at_value || w->depth > 0) {
        size_t done = buf_pending(out) - before;
        if (done >= budget)
            return 0;
        if (w->string != NULL)
            write_string(w, out, budget - done);
        else if (w->is_at_value)
            write_value(w, out);
        else
            advance(w, out);
    }
    return 1;
}

void json_write(const struct json_object *root, struct buf *out)
{
    struct json_writer *w = json_writer_new(root);

    while (!json_writer_step(w, out, WRITE_BUDGET))
        continue;
    json_writer_free(&w);
}
