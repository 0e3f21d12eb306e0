#include "worker/text/stop.h"

#include "base/check.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

int stop_list_add(struct stop_list *list, const char *text, size_t len)
{
    if (len == 0 || !utf8_valid(text, len))
        return -EINVAL;
    if (len > STOP_LEN_MAX || list->n == STOPS_MAX)
        return -E2BIG;
    buf_add(&list->text, text, len);
    list->len[list->n++] = (uint16_t)len;
    if (len > list->len_max)
        list->len_max = (uint32_t)len;
    return 0;
}

void stop_list_free(struct stop_list *list)
{
    buf_free(&list->text);
    *list = (struct stop_list){0};
}

void stop_init(struct stop *s, const struct stop_list *list)
{
    *s = (struct stop){.list = list};
}

void stop_free(struct stop *s)
{
    buf_free(&s->hold);
    *s = (struct stop){0};
}

/* Length of the longest stop string that ends where these len bytes end, or 0. */
static size_t find_end(const struct stop_list *list, const char *text, size_t len, uint32_t *which)
{
    const char *stop = list->text.data;
    size_t best = 0;

    for (uint32_t i = 0; i < list->n; stop += list->len[i++]) {
        size_t n = list->len[i];
        if (n <= len && n > best && stop[n - 1] == text[len - 1] &&
            memcmp(stop, text + len - n, n) == 0) {
            best = n;
            *which = i;
        }
    }
    return best;
}

static bool is_beginning(const struct stop_list *list, const char *text, size_t len)
{
    const char *stop = list->text.data;

    for (uint32_t i = 0; i < list->n; stop += list->len[i++])
        if (list->len[i] > len && stop[0] == text[0] && memcmp(stop, text, len) == 0)
            return true;
    return false;
}

/* How many bytes at the end may still become a stop string. */
static size_t count_held(const struct stop_list *list, const char *text, size_t len)
{
    size_t most = len < list->len_max - 1 ? len : list->len_max - 1;

    for (size_t n = most; n > 0; n--)
        if (is_beginning(list, text + len - n, n))
            return n;
    return 0;
}

/* Whole sequences in, see stop_push. */
static int push_whole(struct stop *s, const char *text, size_t len, struct buf *out)
{
    if (s->list->n == 0) {
        buf_add(out, text, len);
        return 0;
    }
    size_t before = buf_pending(&s->hold);
    buf_add(&s->hold, text, len);
    const char *all = s->hold.data + s->hold.pos;
    size_t n = buf_pending(&s->hold);
    for (size_t end = before + 1; end <= n; end++) {
        size_t match = find_end(s->list, all, end, &s->which);
        if (match > 0) {
            buf_add(out, all, end - match);
            buf_free(&s->hold);
            s->is_over = true;
            return 1;
        }
    }
    size_t shown = n - count_held(s->list, all, n);
    buf_add(out, all, shown);
    buf_consume(&s->hold, shown);
    return 0;
}

/* Whether n bytes can be the beginning of a longer sequence: they are if filling them up with
 * continuation bytes gives one. */
static bool is_partial(const char *s, size_t n)
{
    unsigned char lead = (unsigned char)s[0];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    char full[4] = {s[0], (char)0x80, (char)0x80, (char)0x80};

    if (lead < 0xc2 || lead > 0xf4 || n >= need)
        return false;
    if (n == 1)
        return true;
    memcpy(full, s, n);
    return utf8_sequence(full, need) == need;
}

/* One byte of a sequence that is not whole yet. */
static int push_byte(struct stop *s, char byte, struct buf *out)
{
    s->partial[s->n_partial++] = byte;
    size_t whole = utf8_sequence(s->partial, s->n_partial);
    if (whole == s->n_partial) {
        s->n_partial = 0;
        return push_whole(s, s->partial, whole, out);
    }
    if (is_partial(s->partial, s->n_partial))
        return 0;
    /* The bytes before this one were a beginning that is now broken off; this one starts anew. */
    bool is_first = s->n_partial == 1;
    s->n_partial = 0;
    int rc = push_whole(s, REPLACEMENT, 3, out);
    return rc != 0 || is_first ? rc : push_byte(s, byte, out);
}

int stop_push(struct stop *s, const char *text, size_t len, struct buf *out)
{
    size_t i = 0;

    if (s->is_over)
        return 1;
    while (i < len) {
        size_t whole = 0;
        while (s->n_partial == 0 && i + whole < len) {
            size_t n = utf8_sequence(text + i + whole, len - i - whole);
            if (n == 0)
                break;
            whole += n;
        }
        if (whole > 0 && push_whole(s, text + i, whole, out) != 0)
            return 1;
        i += whole;
        if (i < len && push_byte(s, text[i++], out) != 0)
            return 1;
    }
    CHECK(s->list->n == 0 || buf_pending(&s->hold) < s->list->len_max);
    return 0;
}

void stop_flush(struct stop *s, struct buf *out)
{
    if (s->n_partial > 0 && !s->is_over) {
        s->n_partial = 0;
        push_whole(s, REPLACEMENT, 3, out);
    }
    if (s->is_over)
        return;
    if (buf_pending(&s->hold) > 0)
        buf_add(out, s->hold.data + s->hold.pos, buf_pending(&s->hold));
    buf_clear(&s->hold);
}
