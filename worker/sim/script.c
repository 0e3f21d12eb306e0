#include "worker/sim/script.h"

#include "base/check.h"
#include "base/fd.h"
#include "base/names.h"
#include "shm/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRIPT_MAX   (64u << 20)
#define DELAY_MS_MAX 3600000

static int check_keys(const struct json_object *o, const char *const *known, size_t n,
                      const char *where, struct err *e)
{
    for (struct json_iterator it = json_members(o); json_next(&it);) {
        size_t i = 0;
        while (i < n && strcmp(it.key, known[i]) != 0)
            i++;
        if (i == n) {
            const char *nearest = names_nearest(it.key, known, n);
            return err_set(e, EINVAL, "%s: key \"%.40s\" not known; did you mean %s?", where,
                           it.key, nearest != NULL ? nearest : known[0]);
        }
    }
    return 0;
}

static int read_string(const struct json_object *o, const char *key, const char **text, size_t *len,
                       struct err *e)
{
    const struct json_object *v = json_get(o, key);

    if (v == NULL)
        return 0;
    if (json_type_of(v) != JSON_STRING)
        return err_set(e, EINVAL, "%s: found %s, expected string", key,
                       json_type_name(json_type_of(v)));
    *text = json_string(v, len);
    return 0;
}

static int read_delay(const struct json_object *o, uint32_t *delay_ms, struct err *e)
{
    const struct json_object *v = json_get(o, "delay_ms");

    if (v == NULL)
        return 0;
    if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 0 ||
        json_integer(v) > DELAY_MS_MAX)
        return err_set(e, EINVAL, "delay_ms: expected an integer from 0 to %d", DELAY_MS_MAX);
    *delay_ms = (uint32_t)json_integer(v);
    return 0;
}

/* A value out of a list of names; `value` keeps what it has when the key is not there. */
typedef const char *name_of(uint32_t value);
static int read_enum(const struct json_object *o, const char *key, name_of *name, uint32_t count,
                     uint32_t *value, struct err *e)
{
    const char *text = NULL;
    size_t len;

    if (read_string(o, key, &text, &len, e) != 0)
        return -e->code;
    if (text == NULL)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(text, name(i)) == 0) {
            *value = i;
            return 0;
        }
    return err_set(e, EINVAL, "%s: \"%.40s\" not known", key, text);
}

/* Bytes that need not be UTF-8, as a model's tokens need not. */
static int read_bytes(struct script_piece *p, const struct json_object *bytes, struct err *e)
{
    if (bytes == NULL)
        return 0;
    if (json_type_of(bytes) != JSON_ARRAY)
        return err_set(e, EINVAL, "bytes: found %s, expected array",
                       json_type_name(json_type_of(bytes)));
    p->len = json_length(bytes);
    p->text = p->bytes = malloc(p->len + 1);
    CHECK(p->bytes != NULL);
    for (size_t i = 0; i < p->len; i++) {
        const struct json_object *v = json_at(bytes, i);
        if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 0 ||
            json_integer(v) > 255)
            return err_set(e, EINVAL, "bytes[%zu]: expected an integer from 0 to 255", i);
        p->bytes[i] = (char)json_integer(v);
    }
    return 0;
}

static int read_piece(struct script_piece *p, const struct json_object *o, struct err *e)
{
    static const char *const keys[] = {"text", "bytes", "channel", "delay_ms"};
    uint32_t channel = CHANNEL_CONTENT;

    *p = (struct script_piece){0};
    if (json_type_of(o) == JSON_STRING) {
        p->text = json_string(o, &p->len);
    } else if (json_type_of(o) != JSON_OBJECT) {
        return err_set(e, EINVAL, "found %s, expected string or object",
                       json_type_name(json_type_of(o)));
    } else if (check_keys(o, keys, sizeof keys / sizeof keys[0], "piece", e) != 0 ||
               read_bytes(p, json_get(o, "bytes"), e) != 0 ||
               read_string(o, "text", &p->text, &p->len, e) != 0 ||
               read_enum(o, "channel", channel_name, CHANNEL_REASONING + 1, &channel, e) != 0 ||
               read_delay(o, &p->delay_ms, e) != 0) {
        return -e->code;
    }
    if (p->text == NULL)
        return err_set(e, EINVAL, "text: missing");
    if (p->bytes != NULL && p->text != p->bytes)
        return err_set(e, EINVAL, "bytes: there is text, too");
    if (p->len > TOKEN_TEXT_MAX)
        return err_set(e, EINVAL, "text: %zu bytes, at most %d are one token", p->len,
                       TOKEN_TEXT_MAX);
    p->channel = (enum channel)channel;
    return 0;
}

static int read_pieces(struct script_answer *a, const struct json_object *pieces, struct err *e)
{
    if (pieces == NULL || json_type_of(pieces) != JSON_ARRAY)
        return err_set(e, EINVAL, "pieces: expected an array");
    a->n_pieces = (uint32_t)json_length(pieces);
    a->piece = calloc(a->n_pieces + 1u, sizeof *a->piece);
    CHECK(a->piece != NULL);
    for (uint32_t i = 0; i < a->n_pieces; i++)
        if (read_piece(&a->piece[i], json_at(pieces, i), e) != 0)
            return err_prefix(e, "pieces[%u]", i);
    return 0;
}

static int read_answer(struct script_answer *a, const struct json_object *o, struct err *e)
{
    static const char *const keys[] = {"pieces", "match", "finish", "delay_ms"};
    uint32_t finish = FINISH_STOP;

    a->match = "";
    if (json_type_of(o) != JSON_OBJECT)
        return err_set(e, EINVAL, "found %s, expected object", json_type_name(json_type_of(o)));
    if (check_keys(o, keys, sizeof keys / sizeof keys[0], "answer", e) != 0 ||
        read_string(o, "match", &a->match, &a->match_len, e) != 0 ||
        read_enum(o, "finish", finish_reason_name, finish_reason_count, &finish, e) != 0 ||
        read_delay(o, &a->delay_ms, e) != 0)
        return -e->code;
    a->finish = (enum finish_reason)finish;
    return read_pieces(a, json_get(o, "pieces"), e);
}

int script_parse(struct script *s, struct json_object *root, struct err *e)
{
    bool is_array = json_type_of(root) == JSON_ARRAY;
    size_t n = is_array ? json_length(root) : 1;
    int rc = 0;

    *s = (struct script){.root = root};
    s->answer = calloc(n + 1, sizeof *s->answer);
    CHECK(s->answer != NULL);
    for (size_t i = 0; i < n && rc == 0; i++) {
        s->n_answers++;
        rc = read_answer(&s->answer[i], is_array ? json_at(root, i) : root, e);
        if (rc != 0)
            rc = err_prefix(e, "answer %zu", i);
    }
    if (rc == 0 && n == 0)
        rc = err_set(e, EINVAL, "no answer in it");
    if (rc != 0)
        script_free(s);
    return rc;
}

int script_load(struct script *s, const char *path, struct err *e)
{
    struct buf text = {0};
    struct json_object *root = NULL;

    *s = (struct script){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "open script %s: %s", path, strerror(errno));
    int rc = fd_read_all(fd, &text, SCRIPT_MAX, e);
    close(fd);
    if (rc == 0)
        rc = json_parse(buf_text(&text), buf_pending(&text), &root, e);
    buf_free(&text);
    if (rc == 0)
        rc = script_parse(s, root, e);
    return rc == 0 ? 0 : err_prefix(e, "script %s", path);
}

void script_free(struct script *s)
{
    for (uint32_t i = 0; i < s->n_answers; i++) {
        struct script_answer *a = &s->answer[i];
        for (uint32_t k = 0; k < a->n_pieces; k++)
            free(a->piece[k].bytes);
        free(a->piece);
    }
    free(s->answer);
    json_free(&s->root);
    *s = (struct script){0};
}
