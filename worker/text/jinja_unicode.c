#include "worker/text/jinja_unicode.h"

#include "base/utf8.h"

#include "worker/text/jinja_unicode_data.h"

static bool is_in(const struct juni_range *table, size_t n, uint32_t c)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c > table[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && c >= table[low].first;
}

#define X(name) \
    bool juni_is_##name(uint32_t c) \
    { \
        return is_in(juni_##name, juni_##name##_n, c); \
    }
JUNI_SETS(X)
#undef X

bool juni_is_alnum(uint32_t c)
{
    return juni_is_alpha(c) || juni_is_numeric(c);
}

bool juni_is_cased(uint32_t c)
{
    return juni_is_upper(c) || juni_is_lower(c) || juni_is_title(c);
}

static bool find_run(const struct juni_run *table, size_t n, uint32_t c, uint32_t *to)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c > table[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < n && c >= table[low].first && (c - table[low].first) % table[low].stride == 0) {
        *to = (uint32_t)((int64_t)c + table[low].delta);
        return true;
    }
    return false;
}

static size_t find_special(const struct juni_special *table, size_t n, uint32_t c, uint32_t to[3])
{
    for (size_t i = 0; i < n; i++)
        if (table[i].from == c) {
            size_t k = 0;
            for (; k < 3 && table[i].to[k] != 0; k++)
                to[k] = table[i].to[k];
            return k;
        }
    return 0;
}

static size_t change_ascii(uint32_t c, uint32_t first, uint32_t to[3])
{
    to[0] = c - first < 26 ? c ^ 0x20 : c;
    return 1;
}

size_t juni_upper_of(uint32_t c, uint32_t to[3])
{
    if (c < 0x80)
        return change_ascii(c, 'a', to);
    if (find_run(juni_to_upper, juni_to_upper_n, c, to))
        return 1;
    size_t n = find_special(juni_to_upper_special, juni_to_upper_special_n, c, to);
    if (n == 0)
        to[n++] = c;
    return n;
}

size_t juni_lower_of(uint32_t c, uint32_t to[3])
{
    if (c < 0x80)
        return change_ascii(c, 'A', to);
    if (find_run(juni_to_lower, juni_to_lower_n, c, to))
        return 1;
    size_t n = find_special(juni_to_lower_special, juni_to_lower_special_n, c, to);
    if (n == 0)
        to[n++] = c;
    return n;
}

size_t juni_title_of(uint32_t c, uint32_t to[3])
{
    if (c >= 0x80) {
        if (find_run(juni_to_title, juni_to_title_n, c, to))
            return 1;
        size_t n = find_special(juni_to_title_special, juni_to_title_special_n, c, to);
        if (n != 0)
            return n;
    }
    return juni_upper_of(c, to);
}

uint32_t juni_decode_before(const char *s, size_t *n)
{
    const char *p = s - 1;

    while (((unsigned char)*p & 0xc0) == 0x80)
        p--;
    return utf8_decode(p, n);
}

size_t juni_count(const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

size_t juni_offset(const char *s, size_t len, size_t n)
{
    size_t at = 0;

    for (; n > 0; n--) {
        at++;
        while (at < len && ((unsigned char)s[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}
