/* A small vocabulary, and questions about grammars. */
#ifndef TESTS_UNIT_GRAMMAR_FIXTURE_H
#define TESTS_UNIT_GRAMMAR_FIXTURE_H

#include "base/json.h"
#include "worker/text/grammar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

/* Behind the 256 single bytes. Those with an empty text are let through by no grammar. */
static const char *const fixture_tokens[] = {
    "",
    "{\"",
    "\":",
    "\": ",
    "\", \"",
    "\",\"",
    "\"}",
    "\"}\n",
    "}}",
    "]}",
    "}]",
    "},{",
    "}, {\"",
    "[{",
    "[[",
    "]]",
    " \"",
    "  ",
    "\n  ",
    "\n    ",
    "\n",
    "\n\n",
    "\t\t",
    ": ",
    ", ",
    "true",
    "tru",
    "false",
    "null",
    "nul",
    "12",
    "123",
    "0.",
    "1e",
    "-1",
    "00",
    ".5",
    "100",
    "2024",
    "abc",
    "ab",
    "name",
    "value",
    "the",
    " the",
    " a",
    "Hello",
    "HELLO",
    "world!",
    " world",
    "foo_bar",
    "kebab-x",
    "camelCase",
    "\\",
    "\\n",
    "\\\"",
    "\\u",
    "\\u00",
    "d83d",
    "\\ud83d",
    "\\ude00",
    "u00e9",
    "\xc3",
    "\xa9",
    "\xc3\xa9",
    "\xe6\x97",
    "\xe6\x97\xa5\xe6\x9c\xac",
    "\xa5",
    "\xf0\x9f",
    "\x98\x80",
    "a\xc3",
    "\xf0\x9f\x98\x80",
    "x\xe6\x97\xa5y",
    "\x80",
    "\xff",
    "\xed\xa0\x80",
    "<tool_call>",
    "</tool_call>",
    "<function=",
    "</function>",
    "<parameter=",
    "</parameter>",
    ">\n",
    "<",
    "</",
    "tool",
    "_call",
    "\"name\"",
    "\"arguments\"",
    "get",
    "a\":1,",
    "1,",
    "1}",
    "e\"",
    "t\"]",
    "\"a",
    "aaaaaaaa",
    "zzzzzzzzzzzzzzzz",
    "name", /* the same bytes twice */
};
#define FIXTURE_N ((uint32_t)(256 + sizeof fixture_tokens / sizeof *fixture_tokens))

/* And then made-up ones, as many of each kind as make groups of their own, with masks by length. */
#define FIXTURE_LARGE (FIXTURE_N + 3000)

static inline void fixture_made_up(uint32_t i, struct buf *out)
{
    static const char *const pieces[][3] = {
        {"a", "b", "z"},   {"a", "q", "y"}, {" ", "a", "z"},
        {"A", "Z", "M"},   {"0", "7", "9"}, {"\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x98\x80"},
        {"a", "\"", "\n"}, {"a", "Z", " "}};
    const char *const *piece = pieces[i % 8];

    for (uint32_t left = i / 8 + 1; left > 0; left /= 3)
        buf_add_str(out, piece[left % 3]);
}

static inline void fixture_bytes(void *ctx, uint32_t id, struct buf *out)
{
    (void)ctx;
    if (id < 256)
        buf_add_char(out, (char)id);
    else if (id < FIXTURE_N)
        buf_add_str(out, fixture_tokens[id - 256]);
    else
        fixture_made_up(id - FIXTURE_N, out);
}

static inline struct grammar *fixture_compile(const struct grammar_vocab *v, const char *schema)
{
    struct json_object *o;
    struct grammar *g = NULL;
    struct err e = {0};

    if (json_parse(schema, strlen(schema), &o, &e) != 0 ||
        grammar_compile_schema(v, o, NULL, &g, &e) != 0)
        fail_msg("%s: %s", schema, e.text);
    json_free(&o);
    return g;
}

/* The text as a whole, and cut in two at each byte: they must agree. */
static inline bool fixture_takes(struct grammar *g, const char *text, size_t len)
{
    struct grammar_state *s = grammar_state_new(g);
    bool takes = grammar_state_advance(s, text, len) && grammar_state_is_complete(s);

    for (size_t i = 0; i <= len; i++) {
        grammar_state_reset(s);
        bool parts = grammar_state_advance(s, text, i) &&
                     grammar_state_advance(s, text + i, len - i) && grammar_state_is_complete(s);
        assert_int_equal(parts, takes);
    }
    grammar_state_free(&s);
    return takes;
}

/* Of a group of tests: its state is the vocabulary. */
static inline int fixture_open(void **state)
{
    *state = grammar_vocab_new(FIXTURE_N, fixture_bytes, NULL);
    return 0;
}

static inline int fixture_close(void **state)
{
    grammar_vocab_free((struct grammar_vocab **)state);
    return 0;
}

#endif
