/* The rules that every grammar has. */
#include "worker/text/grammar_nfa.h"

#define INDENT_SPACES_MAX 40
#define INDENT_TABS_MAX   10
#define DIGITS_MAX        18

static void add_hex(struct nfa *n, uint32_t from, uint32_t to)
{
    nfa_bytes(n, from, to, '0', '9');
    nfa_bytes(n, from, to, 'a', 'f');
    nfa_bytes(n, from, to, 'A', 'F');
}

static void add_hexes(struct nfa *n, uint32_t from, uint32_t to, int count)
{
    for (; count > 1; count--) {
        uint32_t next = nfa_state(n);
        add_hex(n, from, next);
        from = next;
    }
    add_hex(n, from, to);
}

/* d800 to dbff from behind "u" is followed by \udc00 to \udfff; dc00 to dfff come nowhere else. */
static void add_unicode(struct nfa *n, uint32_t from, uint32_t to)
{
    uint32_t u = nfa_state(n), plain = nfa_state(n), d = nfa_state(n), last_two = nfa_state(n);
    uint32_t high = nfa_state(n), pair = nfa_state(n), low = nfa_state(n), low_d = nfa_state(n);

    nfa_byte(n, from, u, 'u');
    nfa_bytes(n, u, plain, '0', '9');
    nfa_any_of(n, u, plain, "abcefABCEF");
    add_hex(n, plain, last_two);
    nfa_any_of(n, u, d, "dD");
    nfa_bytes(n, d, last_two, '0', '7');
    add_hexes(n, last_two, to, 2);
    nfa_any_of(n, d, high, "89abAB");
    add_hexes(n, high, pair, 2);
    nfa_literal(n, pair, low, "\\u", 2);
    nfa_any_of(n, low, low_d, "dD");
    uint32_t low_two = nfa_state(n);
    nfa_any_of(n, low_d, low_two, "cdefCDEF");
    add_hexes(n, low_two, to, 2);
}

static void add_indent(struct nfa *n, uint32_t from, uint32_t to, char c, int max)
{
    for (int i = 0; i < max; i++) {
        uint32_t next = nfa_state(n);
        nfa_byte(n, from, next, c);
        nfa_empty(n, next, to);
        from = next;
    }
}

static void add_space(struct nfa *n)
{
    uint32_t from = n->rules[RULE_SPACE].from, to = n->rules[RULE_SPACE].to;
    uint32_t line = nfa_state(n);

    nfa_byte(n, from, to, ' ');
    nfa_byte(n, from, line, '\n');
    nfa_empty(n, line, to);
    add_indent(n, line, to, ' ', INDENT_SPACES_MAX);
    add_indent(n, line, to, '\t', INDENT_TABS_MAX);
}

static void add_string(struct nfa *n)
{
    uint32_t inside = nfa_state(n), escape = nfa_state(n);

    nfa_byte(n, n->rules[RULE_STRING].from, inside, '"');
    nfa_bytes(n, inside, inside, 0x20, '"' - 1);
    nfa_bytes(n, inside, inside, '"' + 1, '\\' - 1);
    nfa_bytes(n, inside, inside, '\\' + 1, 0x7f);
    nfa_call(n, inside, inside, RULE_NONASCII);
    nfa_byte(n, inside, escape, '\\');
    nfa_any_of(n, escape, inside, "\"\\/bfnrt");
    add_unicode(n, escape, inside);
    nfa_byte(n, inside, n->rules[RULE_STRING].to, '"');
}

/* 1 to max digits. */
static void add_digits(struct nfa *n, uint32_t from, uint32_t to, int max)
{
    for (int i = 0; i < max; i++) {
        uint32_t next = nfa_state(n);
        nfa_bytes(n, from, next, '0', '9');
        nfa_empty(n, next, to);
        from = next;
    }
}

static void add_integer(struct nfa *n, uint32_t from, uint32_t to)
{
    uint32_t positive = nfa_state(n), more = nfa_state(n);

    nfa_empty(n, from, positive);
    nfa_byte(n, from, positive, '-');
    nfa_byte(n, positive, to, '0');
    nfa_bytes(n, positive, more, '1', '9');
    nfa_empty(n, more, to);
    add_digits(n, more, to, DIGITS_MAX - 1);
}

static void add_number(struct nfa *n)
{
    uint32_t whole = nfa_state(n), point = nfa_state(n), parts = nfa_state(n);
    uint32_t exponent = nfa_state(n), digits = nfa_state(n);
    uint32_t to = n->rules[RULE_NUMBER].to;

    add_integer(n, n->rules[RULE_NUMBER].from, whole);
    nfa_empty(n, whole, parts);
    nfa_byte(n, whole, point, '.');
    add_digits(n, point, parts, DIGITS_MAX);
    nfa_empty(n, parts, to);
    nfa_any_of(n, parts, exponent, "eE");
    nfa_empty(n, exponent, digits);
    nfa_any_of(n, exponent, digits, "+-");
    add_digits(n, digits, to, 2);
}

static void add_members(struct nfa *n, uint32_t from, uint32_t to)
{
    uint32_t open = nfa_state(n), key = nfa_state(n), colon = nfa_state(n);
    uint32_t value = nfa_state(n), behind = nfa_state(n), comma = nfa_state(n);
    uint32_t close = nfa_state(n);

    nfa_byte(n, from, open, '{');
    nfa_space(n, open, key);
    nfa_space(n, open, close);
    nfa_call(n, key, colon, RULE_STRING);
    nfa_colon(n, colon, value);
    nfa_call(n, value, behind, RULE_VALUE);
    nfa_byte(n, behind, comma, ',');
    nfa_space(n, comma, key);
    nfa_space(n, behind, close);
    nfa_byte(n, close, to, '}');
}

static void add_elements(struct nfa *n, uint32_t from, uint32_t to)
{
    uint32_t open = nfa_state(n), value = nfa_state(n), behind = nfa_state(n);
    uint32_t comma = nfa_state(n), close = nfa_state(n);

    nfa_byte(n, from, open, '[');
    nfa_space(n, open, value);
    nfa_space(n, open, close);
    nfa_call(n, value, behind, RULE_VALUE);
    nfa_byte(n, behind, comma, ',');
    nfa_space(n, comma, value);
    nfa_space(n, behind, close);
    nfa_byte(n, close, to, ']');
}

static void add_value(struct nfa *n)
{
    uint32_t from = n->rules[RULE_VALUE].from, to = n->rules[RULE_VALUE].to;

    nfa_call(n, from, to, RULE_STRING);
    nfa_call(n, from, to, RULE_NUMBER);
    nfa_literal(n, from, to, "true", 4);
    nfa_literal(n, from, to, "false", 5);
    nfa_literal(n, from, to, "null", 4);
    nfa_call(n, from, to, RULE_OBJECT);
    add_elements(n, from, to);
}

void nfa_add_builtins(struct nfa *n)
{
    nfa_utf8(n, n->rules[RULE_NONASCII].from, n->rules[RULE_NONASCII].to, 0x80, 0x10ffff);
    add_unicode(n, n->rules[RULE_UNICODE].from, n->rules[RULE_UNICODE].to);
    add_space(n);
    add_string(n);
    add_integer(n, n->rules[RULE_INTEGER].from, n->rules[RULE_INTEGER].to);
    add_number(n);
    add_value(n);
    add_members(n, n->rules[RULE_OBJECT].from, n->rules[RULE_OBJECT].to);
}
