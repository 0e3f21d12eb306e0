#include "worker/text/unicode.h"

#include "base/check.h"
#include "base/utf8.h"
#include "worker/text/unicode_data.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* --- one character --- */

/* NULL: it is no newer than Unicode 14.0, like all of [*low_gap, *high_gap). */
static const struct unicode_proxy *find_proxy(uint32_t c, uint32_t *low_gap, uint32_t *high_gap)
{
    size_t low = 0, high = unicode_proxies_n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > unicode_proxies[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < unicode_proxies_n && c >= unicode_proxies[low].first)
        return &unicode_proxies[low];
    *low_gap = low == 0 ? 0 : unicode_proxies[low - 1].last + 1;
    *high_gap = low == unicode_proxies_n ? UINT32_MAX : unicode_proxies[low].first;
    return NULL;
}

bool unicode_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Letters that are symbols by category: circled, squared. */
static bool is_letter_symbol(uint32_t c)
{
    return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
           (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

bool unicode_is_word(uint32_t c)
{
    uint32_t low, high;
    const struct unicode_proxy *newer = find_proxy(c, &low, &high);
    const utf8proc_category_t category =
        utf8proc_category((utf8proc_int32_t)(newer != NULL ? newer->proxy : c));
    const unsigned of_words =
        1u << UTF8PROC_CATEGORY_LU | 1u << UTF8PROC_CATEGORY_LL | 1u << UTF8PROC_CATEGORY_LT |
        1u << UTF8PROC_CATEGORY_LM | 1u << UTF8PROC_CATEGORY_LO | 1u << UTF8PROC_CATEGORY_MN |
        1u << UTF8PROC_CATEGORY_MC | 1u << UTF8PROC_CATEGORY_ME | 1u << UTF8PROC_CATEGORY_ND |
        1u << UTF8PROC_CATEGORY_NL | 1u << UTF8PROC_CATEGORY_PC;

    return (of_words >> category & 1) != 0 || c == 0x200c || c == 0x200d || is_letter_symbol(c);
}

bool unicode_is_mark(uint32_t c)
{
    size_t low = 0, high = unicode_marks_n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > unicode_marks[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < unicode_marks_n && c >= unicode_marks[low].first;
}

size_t unicode_lower(uint32_t c, uint32_t to[2])
{
    size_t low = 0, high = unicode_lowers_n;

    to[0] = c;
    if (c == 0x130) { /* the one that becomes two */
        to[0] = 'i';
        to[1] = 0x307;
        return 2;
    }
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > unicode_lowers[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == unicode_lowers_n)
        return 1;
    const struct unicode_lower *run = &unicode_lowers[low];
    if (c >= run->first && (c - run->first) % run->stride == 0)
        to[0] = (uint32_t)((int32_t)c + run->delta);
    return 1;
}

void unicode_add_punctuation(struct buf *pattern)
{
    for (size_t i = 0; i < unicode_punctuation_n; i++)
        buf_printf(pattern, "\\x{%x}-\\x{%x}", unicode_punctuation[i].first,
                   unicode_punctuation[i].last);
}

/* --- normalisation --- */

/* What was found last: all of [low, high) has these bits. Texts stay in one script for long. */
struct form_cursor {
    uint32_t low, high;
    uint32_t bits;
};

static uint32_t form_bits(struct form_cursor *k, uint32_t c)
{
    if (c >= k->low && c < k->high)
        return k->bits;
    size_t low = 0, high = unicode_forms_n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > unicode_forms[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < unicode_forms_n && c >= unicode_forms[low].first) {
        *k = (struct form_cursor){unicode_forms[low].first, unicode_forms[low].last + 1,
                                  unicode_forms[low].bits};
    } else {
        k->low = low == 0 ? 0 : unicode_forms[low - 1].last + 1;
        k->high = low == unicode_forms_n ? UINT32_MAX : unicode_forms[low].first;
        k->bits = 0;
    }
    return k->bits;
}

/* Where the ASCII at from ends. */
static size_t skip_ascii(const char *text, size_t len, size_t from)
{
    while (len - from >= 8) {
        uint64_t w;
        memcpy(&w, text + from, 8);
        if ((w & 0x8080808080808080ull) != 0)
            break;
        from += 8;
    }
    while (from < len && (unsigned char)text[from] < 0x80)
        from++;
    return from;
}

bool unicode_next_unsettled(enum unicode_form_name form, const char *text, size_t len,
                            size_t *begin, size_t *end)
{
    const uint32_t bit = 1u << form;
    const bool composes = form == UNICODE_NFC || form == UNICODE_NFKC;
    struct form_cursor k = {0};
    size_t at = *begin, base = SIZE_MAX, n;

    for (;; at += n) {
        size_t ascii = skip_ascii(text, len, at);
        if (ascii > at)
            base = ascii - 1;
        at = ascii;
        if (at == len)
            return false;
        uint32_t bits = form_bits(&k, utf8_decode(text + at, &n));
        if ((bits & bit) != 0)
            break;
        base = (bits & UNICODE_NEW) != 0 ? SIZE_MAX : at;
    }
    /* What settled text comes before may be composed with the first of the stretch. */
    *begin = composes && base != SIZE_MAX ? base : at;
    while (at < len && (form_bits(&k, utf8_decode(text + at, &n)) & bit) != 0)
        at += n;
    *end = at;
    return true;
}

static uint8_t combining_class(utf8proc_int32_t c)
{
    return (uint8_t)utf8proc_get_property(c)->combining_class;
}

/* Reorder marks by their class; equal ones keep their order. utf8proc's own way takes the square of
 * their number, and a client may send a million of them. */
static void sort_marks(utf8proc_int32_t *points, size_t n)
{
    size_t place[256] = {0};
    utf8proc_int32_t *sorted = malloc(n * sizeof *sorted);

    CHECK(sorted != NULL);
    for (size_t i = 0; i < n; i++)
        place[combining_class(points[i])]++;
    for (size_t i = 0, sum = 0; i < 256; i++) {
        size_t count = place[i];
        place[i] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        sorted[place[combining_class(points[i])]++] = points[i];
    memcpy(points, sorted, n * sizeof *sorted);
    free(sorted);
}

static void sort_all_marks(utf8proc_int32_t *points, size_t n)
{
    for (size_t i = 0, begin; i < n; i++) {
        bool is_sorted = true;
        for (begin = i; i < n && combining_class(points[i]) != 0; i++)
            is_sorted &= i == begin || combining_class(points[i - 1]) <= combining_class(points[i]);
        if (!is_sorted)
            sort_marks(points + begin, i - begin);
    }
}

/* The longest decomposition of one character, that of U+FDFA. */
#define PARTS_MAX 18

void unicode_normalize(enum unicode_form_name form, const char *text, size_t len,
                       struct buf *scratch, struct buf *out)
{
    static const unsigned of_form[] = {
        [UNICODE_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [UNICODE_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [UNICODE_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [UNICODE_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    const utf8proc_option_t options = (utf8proc_option_t)of_form[form];
    const size_t size = sizeof(utf8proc_int32_t);
    int boundary = UTF8PROC_BOUNDCLASS_START;
    size_t n_read;

    buf_clear(scratch);
    for (size_t at = 0; at < len; at += n_read) {
        utf8proc_int32_t c = (utf8proc_int32_t)utf8_decode(text + at, &n_read);
        void *to = buf_reserve(scratch, (PARTS_MAX + 1) * size); /* reencode wants one more */
        utf8proc_ssize_t n = utf8proc_decompose_char(c, to, PARTS_MAX, options, &boundary);
        CHECK(n > 0 && n <= PARTS_MAX);
        buf_commit(scratch, (size_t)n * size);
    }
    utf8proc_int32_t *points = (void *)scratch->data;
    size_t n_points = scratch->len / size;
    sort_all_marks(points, n_points);
    utf8proc_ssize_t n = utf8proc_reencode(points, (utf8proc_ssize_t)n_points, options);
    CHECK(n > 0);
    buf_add(out, scratch->data, (size_t)n);
}

/* --- proxies --- */

bool unicode_add_proxies(const char *text, size_t len, struct buf *out)
{
    uint32_t low = 0, high = unicode_proxies[0].first; /* none is in here */
    size_t copied = 0, n;

    for (size_t at = skip_ascii(text, len, 0); at < len; at = skip_ascii(text, len, at + n)) {
        uint32_t c = utf8_decode(text + at, &n);
        if (c >= low && c < high)
            continue;
        const struct unicode_proxy *found = find_proxy(c, &low, &high);
        if (found == NULL)
            continue;
        char proxy[4];
        CHECK(utf8_encode(found->proxy, proxy) == n);
        buf_add(out, text + copied, at - copied);
        buf_add(out, proxy, n);
        copied = at + n;
    }
    if (copied > 0)
        buf_add(out, text + copied, len - copied);
    return copied > 0;
}
