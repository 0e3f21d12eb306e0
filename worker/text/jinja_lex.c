#include "worker/text/jinja_lex.h"

#include "base/utf8.h"
#include "worker/text/jinja.h"
#include "worker/text/jinja_literal.h"
#include "worker/text/jinja_unicode.h"

#include <stdio.h>
#include <string.h>

struct lexer {
    struct jrun *r;
    const char *text; /* with \n for every kind of line end */
    size_t len;
    size_t at;
    size_t counted; /* r->line is the line of this offset */
    struct jtok *tok;
    size_t n, cap;
    uint32_t depth;
    char closing[JINJA_DEPTH_MAX]; /* of the open brackets */
};

static const struct {
    const char *text;
    enum jtok_type type;
} operators[] = {
#define X(name, text) {text, JTOK_##name},
    JTOK_OPERATORS(X)
#undef X
};

const char *jtok_name(const struct jtok *t)
{
    static const char *const names[] = {
        [JTOK_END] = "the end of the template",
        [JTOK_DATA] = "text",
        [JTOK_VARIABLE_BEGIN] = "'{{'",
        [JTOK_VARIABLE_END] = "'}}'",
        [JTOK_BLOCK_BEGIN] = "'{%'",
        [JTOK_BLOCK_END] = "'%}'",
        [JTOK_NAME] = "a name",
        [JTOK_STRING] = "a string",
        [JTOK_INT] = "a number",
        [JTOK_FLOAT] = "a number",
#define X(name, text) [JTOK_##name] = "'" text "'",
        JTOK_OPERATORS(X)
#undef X
    };
    return names[t->type];
}

static bool looking_at(const struct lexer *x, size_t at, const char *s)
{
    size_t n = strlen(s);

    return at <= x->len && x->len - at >= n && memcmp(x->text + at, s, n) == 0;
}

static size_t skip_space(const struct lexer *x, size_t at)
{
    while (at < x->len) {
        size_t n;
        if (!juni_is_space(utf8_decode(x->text + at, &n)))
            break;
        at += n;
    }
    return at;
}

/* From here on x->at is where the sentences and tokens are. */
static void move_to(struct lexer *x, size_t at)
{
    x->at = at;
    for (; x->counted < at; x->counted++)
        x->r->line += x->text[x->counted] == '\n';
}

static struct jtok *add_token(struct lexer *x, enum jtok_type type)
{
    if (x->n == x->cap)
        x->tok = jrun_grow_array(x->r, x->tok, x->n, &x->cap, sizeof *x->tok);
    x->tok[x->n] = (struct jtok){.type = (uint8_t)type, .line = x->r->line};
    return &x->tok[x->n++];
}

/* --- text between tags --- */

static size_t strip_end(const char *text, size_t begin, size_t end)
{
    while (end > begin) {
        size_t n;
        if (!juni_is_space(juni_decode_before(text + end, &n)))
            break;
        end -= n;
    }
    return end;
}

/* Where the text from begin to end stops in front of a tag with this sign. lstrip_blocks takes the
 * white space of a line that has nothing else before the tag. */
static size_t strip_before_tag(const struct lexer *x, size_t begin, size_t end, char sign,
                               bool is_variable)
{
    if (sign == '-')
        return strip_end(x->text, begin, end);
    if (sign == '+' || is_variable)
        return end;
    size_t stripped = strip_end(x->text, begin, end);
    const char *newline = memrchr(x->text + begin, '\n', end - begin);
    size_t line = newline != NULL ? (size_t)(newline - x->text) + 1 : begin;
    bool starts_line = newline != NULL || begin == 0 || x->text[begin - 1] == '\n';
    return starts_line && stripped <= line ? line : end;
}

static void add_data(struct lexer *x, size_t begin, size_t end)
{
    if (end > begin)
        add_token(x, JTOK_DATA)->u.s = jstr_borrow(x->r, x->text + begin, end - begin);
}

/* The '-' or '+' of a tag, or 0. */
static char sign_at(const struct lexer *x, size_t at)
{
    return at < x->len && (x->text[at] == '-' || x->text[at] == '+') ? x->text[at] : 0;
}

static size_t skip_sign(const struct lexer *x, size_t at)
{
    return sign_at(x, at) != 0 ? at + 1 : at;
}

/* Where the tag that may end at `at` ends: "-%}" takes the white space behind it, "%}" one line
 * end. 0 when none does. */
static size_t end_of_block(const struct lexer *x, size_t at, const char *mark)
{
    char sign = sign_at(x, at);

    at = skip_sign(x, at);
    if (!looking_at(x, at, mark))
        return 0;
    at += strlen(mark);
    if (sign == '-')
        return skip_space(x, at);
    return sign == 0 && looking_at(x, at, "\n") ? at + 1 : at;
}

/* The text of "{% word %}" at `at`: where it ends, or 0. */
static size_t match_tag(const struct lexer *x, size_t at, const char *word, bool is_trimmed)
{
    if (!looking_at(x, at, "{%"))
        return 0;
    at = skip_space(x, skip_sign(x, at + 2));
    if (!looking_at(x, at, word))
        return 0;
    at = skip_space(x, at + strlen(word));
    if (is_trimmed || looking_at(x, at, "-"))
        return end_of_block(x, at, "%}");
    return looking_at(x, at, "%}") ? at + 2 : 0;
}

/* As with a comment, jinja2 misses the end only when there is text before it. */
static void lex_raw(struct lexer *x, size_t begin)
{
    move_to(x, begin);
    for (size_t at = begin; at < x->len; at++) {
        size_t end = match_tag(x, at, "endraw", true);
        if (end == 0)
            continue;
        add_data(x, begin, strip_before_tag(x, begin, at, sign_at(x, at + 2), false));
        move_to(x, end);
        return;
    }
    if (begin < x->len)
        jrun_fail(x->r, "{%% raw %%} has no {%% endraw %%}");
}

static void lex_comment(struct lexer *x, size_t begin)
{
    const char *end = memmem(x->text + begin, x->len - begin, "#}", 2);

    if (begin == x->len) {
        move_to(x, begin);
        return;
    }
    if (end == NULL)
        jrun_fail(x->r, "the comment has no end: expected #}");
    size_t at = (size_t)(end - x->text);
    move_to(x, end_of_block(x, at > begin && sign_at(x, at - 1) != 0 ? at - 1 : at, "#}"));
}

/* --- inside of tags --- */

static void lex_name(struct lexer *x)
{
    size_t end = x->at;

    while (end < x->len) {
        size_t n;
        uint32_t c = utf8_decode(x->text + end, &n);
        if (c != '_' && !juni_is_alnum(c))
            break;
        end += n;
    }
    add_token(x, JTOK_NAME)->u.s = jstr_borrow(x->r, x->text + x->at, end - x->at);
    move_to(x, end);
}

static void lex_string(struct lexer *x)
{
    char quote = x->text[x->at];
    size_t end = x->at + 1;

    while (end < x->len && x->text[end] != quote)
        end += x->text[end] == '\\' ? 2 : 1;
    if (end >= x->len)
        jrun_fail(x->r, "the string has no end: expected %c", quote);
    struct jtok *t = add_token(x, JTOK_STRING);
    t->u.s = jliteral_string(x->r, x->text + x->at + 1, end - x->at - 1);
    move_to(x, end + 1);
}

static void lex_number(struct lexer *x)
{
    struct jval v;
    bool may_be_float = x->at == 0 || x->text[x->at - 1] != '.';
    size_t n = jliteral_number(x->r, x->text + x->at, x->len - x->at, may_be_float, &v);
    struct jtok *t = add_token(x, v.type == JVAL_FLOAT ? JTOK_FLOAT : JTOK_INT);

    if (v.type == JVAL_FLOAT)
        t->u.d = v.u.d;
    else
        t->u.i = v.u.i;
    move_to(x, x->at + n);
}

static void balance(struct lexer *x, enum jtok_type type)
{
    char closing = type == JTOK_LPAREN     ? ')'
                   : type == JTOK_LBRACKET ? ']'
                   : type == JTOK_LBRACE   ? '}'
                                           : 0;
    char c = x->text[x->at];

    if (closing != 0) {
        if (x->depth == JINJA_DEPTH_MAX)
            jrun_exhaust(x->r, "brackets are nested more than %u deep", JINJA_DEPTH_MAX);
        x->closing[x->depth++] = closing;
    } else if (type == JTOK_RPAREN || type == JTOK_RBRACKET || type == JTOK_RBRACE) {
        if (x->depth == 0)
            jrun_fail(x->r, "unexpected '%c'", c);
        if (x->closing[--x->depth] != c)
            jrun_fail(x->r, "unexpected '%c', expected '%c'", c, x->closing[x->depth]);
    }
}

static void lex_operator(struct lexer *x)
{
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (looking_at(x, x->at, operators[i].text)) {
            balance(x, operators[i].type);
            add_token(x, operators[i].type);
            move_to(x, x->at + strlen(operators[i].text));
            return;
        }
    size_t n;
    utf8_decode(x->text + x->at, &n);
    jrun_fail(x->r, "unexpected character '%.*s'", (int)n, x->text + x->at);
}

static void lex_token(struct lexer *x)
{
    size_t n;
    uint32_t c = utf8_decode(x->text + x->at, &n);

    if (juni_is_space(c))
        move_to(x, skip_space(x, x->at));
    else if (c >= '0' && c <= '9')
        lex_number(x);
    else if (c == '_' || juni_is_alnum(c))
        lex_name(x);
    else if (c == '"' || c == '\'')
        lex_string(x);
    else
        lex_operator(x);
}

/* The end of the tag that is being read, when it is here; 0 when it is not. */
static size_t end_of_tag(const struct lexer *x, bool is_variable)
{
    if (x->depth > 0)
        return 0;
    if (!is_variable)
        return end_of_block(x, x->at, "%}");
    if (looking_at(x, x->at, "-}}"))
        return skip_space(x, x->at + 3);
    return looking_at(x, x->at, "}}") ? x->at + 2 : 0;
}

static void lex_tag(struct lexer *x, bool is_variable)
{
    size_t end;

    add_token(x, is_variable ? JTOK_VARIABLE_BEGIN : JTOK_BLOCK_BEGIN);
    move_to(x, skip_sign(x, x->at + 2));
    while ((end = end_of_tag(x, is_variable)) == 0) {
        if (x->at >= x->len)
            jrun_fail(x->r, "the tag has no end: expected %s", is_variable ? "}}" : "%}");
        lex_token(x);
    }
    add_token(x, is_variable ? JTOK_VARIABLE_END : JTOK_BLOCK_END);
    move_to(x, end);
}

static size_t find_tag(const struct lexer *x, size_t at)
{
    for (; at + 1 < x->len; at++) {
        const char *brace = memchr(x->text + at, '{', x->len - at - 1);
        if (brace == NULL)
            break;
        at = (size_t)(brace - x->text);
        if (brace[1] == '{' || brace[1] == '%' || brace[1] == '#')
            return at;
    }
    return x->len;
}

static void lex_root(struct lexer *x)
{
    while (x->at < x->len) {
        size_t begin = x->at, tag = find_tag(x, begin);
        if (tag == x->len) {
            add_data(x, begin, tag);
            move_to(x, tag);
            return;
        }
        char kind = x->text[tag + 1], sign = sign_at(x, tag + 2);
        add_data(x, begin, strip_before_tag(x, begin, tag, sign, kind == '{'));
        move_to(x, tag);
        size_t raw = match_tag(x, tag, "raw", false);
        if (raw != 0)
            lex_raw(x, raw);
        else if (kind == '#')
            lex_comment(x, skip_sign(x, tag + 2));
        else
            lex_tag(x, kind == '{');
    }
}

/* Every line end becomes \n, and one at the very end goes away. */
static void normalize(struct lexer *x, const char *text, size_t len)
{
    char *copy = jrun_alloc(x->r, len + 1);
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        bool is_return = text[i] == '\r';
        if (is_return && i + 1 < len && text[i + 1] == '\n')
            i++;
        copy[n++] = is_return ? '\n' : text[i];
    }
    if (n > 0 && copy[n - 1] == '\n')
        n--;
    x->text = copy;
    x->len = n;
}

const struct jtok *jlex(struct jrun *r, const char *text, size_t len)
{
    struct lexer x = {.r = r};

    if (len > JINJA_SOURCE_MAX)
        jrun_exhaust(r, "the template has %zu bytes, the maximum is %u", len, JINJA_SOURCE_MAX);
    if (!utf8_valid(text, len))
        jrun_fail(r, "the template is not UTF-8");
    normalize(&x, text, len);
    lex_root(&x);
    add_token(&x, JTOK_END);
    return x.tok;
}
