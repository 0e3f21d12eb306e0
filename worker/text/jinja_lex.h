/* A template's text as tokens, with all white space control already applied to the text between
 * the tags. The rules are those of jinja2's lexer with trim_blocks and lstrip_blocks. */
#ifndef WORKER_TEXT_JINJA_LEX_H
#define WORKER_TEXT_JINJA_LEX_H

#include "worker/text/jinja_value.h"

#define JTOK_OPERATORS(X) \
    X(FLOORDIV, "//") \
    X(POW, "**") \
    X(EQ, "==") \
    X(NE, "!=") \
    X(GE, ">=") \
    X(LE, "<=") \
    X(ADD, "+") \
    X(SUB, "-") \
    X(DIV, "/") \
    X(MUL, "*") \
    X(MOD, "%") \
    X(TILDE, "~") \
    X(LBRACKET, "[") \
    X(RBRACKET, "]") \
    X(LPAREN, "(") \
    X(RPAREN, ")") \
    X(LBRACE, "{") \
    X(RBRACE, "}") \
    X(GT, ">") \
    X(LT, "<") \
    X(ASSIGN, "=") \
    X(DOT, ".") \
    X(COLON, ":") \
    X(PIPE, "|") \
    X(COMMA, ",") \
    X(SEMICOLON, ";")

enum jtok_type {
    JTOK_END,
    JTOK_DATA,
    JTOK_VARIABLE_BEGIN,
    JTOK_VARIABLE_END,
    JTOK_BLOCK_BEGIN,
    JTOK_BLOCK_END,
    JTOK_NAME,
    JTOK_STRING,
    JTOK_INT,
    JTOK_FLOAT,
#define X(name, text) JTOK_##name,
    JTOK_OPERATORS(X)
#undef X
};

struct jtok {
    uint8_t type; /* enum jtok_type */
    uint32_t line;
    union {
        const struct jstr *s; /* DATA, NAME, STRING */
        int64_t i;
        double d;
    } u;
};

/* The tokens of the template, the last of which is JTOK_END. Fails when there is no such text. */
const struct jtok *jlex(struct jrun *r, const char *text, size_t len);

/* What a token is, for sentences. */
const char *jtok_name(const struct jtok *t);

#endif
