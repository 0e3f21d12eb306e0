/* A compiled template: a tree of nodes. Not changed after jinja_compile(). */
#ifndef WORKER_TEXT_JINJA_AST_H
#define WORKER_TEXT_JINJA_AST_H

#include "worker/text/jinja_lex.h"

struct jcallable;

enum jnode_kind {
    /* expressions */
    JNODE_CONST,   /* value */
    JNODE_NAME,    /* variable `name`, called str */
    JNODE_TUPLE,   /* args */
    JNODE_LIST,    /* args */
    JNODE_DICT,    /* args: key, value, key, value */
    JNODE_ATTR,    /* a.str */
    JNODE_ITEM,    /* a[b] */
    JNODE_SLICE,   /* a[b:c:d], each of b, c, d may be NULL */
    JNODE_CALL,    /* a(args) */
    JNODE_FILTER,  /* a|str(args); a is NULL for what a block has captured */
    JNODE_TEST,    /* a is str(args) */
    JNODE_NOT,     /* a */
    JNODE_SIGN,    /* op a */
    JNODE_AND,     /* args */
    JNODE_OR,      /* args */
    JNODE_MATH,    /* a, then for each of args: op it, from left to right */
    JNODE_CONCAT,  /* args */
    JNODE_COMPARE, /* a, then a chain of op and arg */
    JNODE_COND,    /* b if a else c; c may be NULL */
    JNODE_NSREF,   /* target only: variable `name`, attribute str */
    JNODE_ARG,     /* one of args: a; op is an enum jarg or the token of an operator */
    /* statements */
    JNODE_DATA,         /* str */
    JNODE_PRINT,        /* args */
    JNODE_IF,           /* args: branches; c: else */
    JNODE_BRANCH,       /* a: condition, body */
    JNODE_FOR,          /* a: target, b: iterable, c: condition or NULL, body, otherwise */
    JNODE_SET,          /* a = b */
    JNODE_SET_BLOCK,    /* a = what body writes, through filters b */
    JNODE_MACRO,        /* name, args: parameters, body */
    JNODE_CALL_BLOCK,   /* a: call, args: parameters of the caller, body */
    JNODE_FILTER_BLOCK, /* b: filters, body */
    JNODE_WITH,         /* args: target a = b each, body */
    JNODE_GENERATION,   /* body */
    JNODE_BREAK,
    JNODE_CONTINUE,
};

enum jarg { JARG_POSITION, JARG_KEYWORD, JARG_STAR, JARG_STAR_STAR };

/* Operators that are words: jnode.op of an argument of JNODE_COMPARE, beside tokens. */
enum { JCOMPARE_IN = 200, JCOMPARE_NOT_IN };

/* What the body of a macro asks for: jnode.uses. */
enum { JUSES_CALLER = 1, JUSES_KWARGS = 2, JUSES_VARARGS = 4 };

struct jnode {
    uint8_t kind; /* enum jnode_kind */
    uint8_t op;
    uint8_t uses;
    uint32_t line;
    uint32_t name;      /* index of a variable's name */
    uint32_t n_args;    /* of a call: those by position and those by keyword, stars included */
    struct jnode *next; /* sibling in args or in a body */
    struct jnode *a, *b, *c, *d;
    struct jnode *args;
    struct jnode *body, *otherwise;
    const struct jstr *str;
    const struct jcallable *fn; /* NULL: there is no such filter or test */
    struct jval value;
};

/* Names that mean something in themselves come first. */
#define JNAMES(X) \
    X(loop) \
    X(caller) \
    X(kwargs) \
    X(varargs)

enum jname {
#define X(name) JNAME_##name,
    JNAMES(X)
#undef X
        JNAMES_N
};

struct jtree {
    struct jnode *body;
    const struct jstr **names; /* of variables, by index */
    size_t n_names, cap_names;
    struct jdict *name_index;
};

#endif
