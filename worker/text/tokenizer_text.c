#include "worker/text/tokenizer_text.h"

#include "base/utf8.h"

#include <errno.h>
#include <string.h>

int text_check_growth(size_t from, size_t to, struct err *e)
{
    if (to <= TEXT_GROWTH_ADD || to - TEXT_GROWTH_ADD <= TEXT_GROWTH_MAX * from)
        return 0;
    return err_set(e, E2BIG,
                   "%zu bytes of text have grown to %zu, expected at most %d times as many", from,
                   to, TEXT_GROWTH_MAX);
}

/* --- cuts --- */

/* The first that ends behind a place. */
static size_t find_behind(const struct text *t, size_t place)
{
    size_t low = 0, high = t->n_cuts;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->cuts[mid].high > place)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* The first that begins at a place or behind it. */
static size_t find_from(const struct text *t, size_t place)
{
    size_t low = 0, high = t->n_cuts;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->cuts[mid].low >= place)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

size_t text_first_of(size_t n_first, size_t begin, size_t end)
{
    size_t last = n_first < end ? n_first : end;

    return last > begin ? last - begin : 0;
}

struct text text_slice(const struct text *t, size_t begin, size_t end)
{
    size_t first = find_behind(t, begin + t->cut_base), last = find_from(t, end + t->cut_base);
    bool has_cuts = last > first;

    return (struct text){
        .p = t->p + begin,
        .len = end - begin,
        .n_first = text_first_of(t->n_first, begin, end),
        .cuts = has_cuts ? t->cuts + first : NULL,
        .n_cuts = has_cuts ? last - first : 0,
        .cut_base = t->cut_base + begin,
    };
}

bool text_is_cut(const struct text *t, size_t begin, size_t end)
{
    size_t i = find_behind(t, begin + t->cut_base);

    return i < t->n_cuts && t->cuts[i].low < end + t->cut_base;
}

/* --- writing --- */

/* Bytes begin to end were read, and those from before on written for them. */
static void move_cuts(struct text_writer *w, size_t begin, size_t end, size_t before, bool is_copy)
{
    const struct text *from = w->from;

    for (; w->n_low < from->n_cuts; w->n_low++) {
        size_t low = from->cuts[w->n_low].low;
        low = low < from->cut_base ? 0 : low - from->cut_base;
        if (low >= end && low > begin)
            break;
        w->cuts[w->n_low].low = is_copy ? before + (low - begin) : before;
    }
    for (; w->n_high < from->n_cuts; w->n_high++) {
        size_t high = from->cuts[w->n_high].high - from->cut_base;
        if (high >= end && high > begin)
            break;
        bool is_inside = high > begin;
        w->cuts[w->n_high].high = !is_inside ? before
                                  : is_copy  ? before + (high - begin)
                                             : w->out->len;
    }
}

void text_copy(struct text_writer *w, size_t begin, size_t end)
{
    size_t before = w->out->len;

    buf_add(w->out, w->from->p + begin, end - begin);
    if (begin < w->from->n_first)
        w->n_first = before + text_first_of(w->from->n_first, begin, end);
    if (w->from->n_cuts > 0 && end > begin)
        move_cuts(w, begin, end, before, true);
}

void text_put(struct text_writer *w, size_t begin, size_t end, const char *p, size_t len)
{
    size_t before = w->out->len, origin = end > begin ? end - 1 : begin > 0 ? begin - 1 : 0;

    buf_add(w->out, p, len);
    if (origin < w->from->n_first)
        w->n_first = w->out->len;
    if (w->from->n_cuts > 0)
        move_cuts(w, begin, end, before, false);
}

struct text text_finish(struct text_writer *w)
{
    for (; w->n_low < w->from->n_cuts; w->n_low++)
        w->cuts[w->n_low].low = w->out->len;
    for (; w->n_high < w->from->n_cuts; w->n_high++)
        w->cuts[w->n_high].high = w->out->len;
    buf_reserve(w->out, 1); /* so that there is a place, even of nothing */
    return (struct text){.p = w->out->data,
                         .len = w->out->len,
                         .n_first = w->n_first,
                         .cuts = w->cuts,
                         .n_cuts = w->from->n_cuts};
}

/* Length of the longest beginning of a sequence at s, which is no whole one: 1 to 3. */
static size_t broken_length(const char *s, size_t len)
{
    char full[4] = {s[0], (char)0x80, (char)0x80, (char)0x80};
    unsigned char lead = (unsigned char)s[0];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2, n = 1;

    if (lead < 0xc2 || lead > 0xf4)
        return 1;
    for (; n < need - 1 && n < len; n++) {
        full[n] = s[n];
        /* Filled up it is a sequence, for some second byte at least. */
        if (n == 1 ? utf8_sequence(full, need) != need : ((unsigned char)s[n] & 0xc0) != 0x80)
            break;
    }
    return n;
}

void text_write_clean(struct text_writer *w)
{
    const struct text *from = w->from;
    size_t at = 0, done = 0, n;

    while (at < from->len) {
        n = utf8_sequence(from->p + at, from->len - at);
        if (n > 0) {
            at += n;
            continue;
        }
        n = broken_length(from->p + at, from->len - at);
        text_copy(w, done, at);
        text_put(w, at, at + n, "\xef\xbf\xbd", 3);
        done = at += n;
    }
    text_copy(w, done, at);
}
