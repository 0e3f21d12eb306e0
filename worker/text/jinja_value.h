/* The values of a template: Python's, as far as a template can tell. Immutable but for namespaces,
 * loops and iterators. All memory belongs to the run, or to the compiled template, or to the JSON
 * tree of the caller. */
#ifndef WORKER_TEXT_JINJA_VALUE_H
#define WORKER_TEXT_JINJA_VALUE_H

#include "worker/text/jinja_run.h"

#define JVAL_DEPTH_MAX 200 /* containers in containers; JSON itself has at most 64 */

enum jval_type {
    JVAL_UNDEFINED,
    JVAL_MISSING, /* an argument that was not given; never seen by a template */
    JVAL_NONE,
    JVAL_BOOL,
    JVAL_INT,
    JVAL_WIDE, /* an integer of the JSON input above INT64_MAX: printed, compared, not computed */
    JVAL_FLOAT,
    JVAL_STRING,
    JVAL_LIST,
    JVAL_TUPLE,
    JVAL_DICT,
    JVAL_RANGE,
    JVAL_VIEW,     /* keys(), values() or items() of a dict */
    JVAL_ITERATOR, /* what gives its items once */
    JVAL_NAMESPACE,
    JVAL_MACRO,
    JVAL_LOOP,
    JVAL_FUNCTION,
    JVAL_METHOD, /* bound to its object */
};

/* Why a value is undefined: jval.flag of JVAL_UNDEFINED. */
enum jval_absence {
    JVAL_NO_NAME,   /* no variable u.name */
    JVAL_NO_MEMBER, /* no attribute or key u.name in a value of type jval.of */
    JVAL_NO_INDEX,  /* no element of a value of type jval.of */
    JVAL_UNSAFE,    /* the sandbox forbids u.name of a value of type jval.of */
    JVAL_NO_ELSE,   /* an inline if without else */
    JVAL_NO_ITEM,   /* first, last, min, max of nothing; no previous or next item */
    JVAL_NO_ARG,    /* parameter u.name was not given */
};

enum jval_view { JVAL_KEYS, JVAL_VALUES, JVAL_ITEMS };

struct jstr {
    const char *p; /* well-formed UTF-8, no NUL behind it */
    size_t len;    /* bytes */
    size_t chars;
};

struct jlist;
struct jdict;
struct jiter;
struct jmacro;
struct jloop;
struct jbound;
struct jcallable;

struct jrange {
    int64_t start, stop, step;
    int64_t n;
};

struct jval {
    uint8_t type; /* enum jval_type */
    uint8_t flag; /* of a string: it is Markup; of an undefined value and a view: their enums */
    uint8_t of;   /* enum jval_type of the object that lacks a member */
    union {
        bool b;
        int64_t i;
        uint64_t w;
        double d;
        const struct jstr *s;
        const struct jstr *name;
        const struct jlist *list; /* also of a tuple */
        struct jdict *dict;       /* also of a view and a namespace */
        const struct jrange *range;
        struct jiter *iter;
        const struct jmacro *macro;
        struct jloop *loop;
        const struct jcallable *fn;
        const struct jbound *method;
    } u;
};

struct jlist {
    struct jval *v;
    size_t n, cap;
    uint32_t depth; /* 1 + that of its deepest element */
};

struct jpair {
    struct jval key, value;
};

struct jdict {
    struct jpair *pair; /* in order of insertion */
    size_t n, cap;
    uint32_t *slot; /* 1 + index into pair, by hash; NULL while small */
    size_t n_slots; /* a power of two */
    uint32_t depth;
};

static inline struct jval jval_none(void)
{
    return (struct jval){.type = JVAL_NONE};
}

static inline struct jval jval_missing(void)
{
    return (struct jval){.type = JVAL_MISSING};
}

static inline struct jval jval_bool(bool b)
{
    return (struct jval){.type = JVAL_BOOL, .u.b = b};
}

static inline struct jval jval_int(int64_t i)
{
    return (struct jval){.type = JVAL_INT, .u.i = i};
}

static inline struct jval jval_float(double d)
{
    return (struct jval){.type = JVAL_FLOAT, .u.d = d};
}

static inline struct jval jval_string(const struct jstr *s)
{
    return (struct jval){.type = JVAL_STRING, .u.s = s};
}

static inline struct jval jval_absent(enum jval_absence why, enum jval_type of,
                                      const struct jstr *name)
{
    return (struct jval){
        .type = JVAL_UNDEFINED, .flag = (uint8_t)why, .of = (uint8_t)of, .u.name = name};
}

static inline bool jval_is_string(struct jval v)
{
    return v.type == JVAL_STRING;
}

/* bool, int, wide, float */
static inline bool jval_is_number(struct jval v)
{
    return v.type >= JVAL_BOOL && v.type <= JVAL_FLOAT;
}

/* An int, or a bool as 0 or 1. */
static inline bool jval_is_int(struct jval v)
{
    return v.type == JVAL_INT || v.type == JVAL_BOOL;
}

static inline int64_t jval_as_int(struct jval v)
{
    return v.type == JVAL_BOOL ? v.u.b : v.u.i;
}

/* Of any number. */
double jval_as_float(struct jval v);

/* The type's name in Python. */
const char *jval_type_name(struct jval v);
/* Fail with what is undefined about v. */
_Noreturn void jval_fail_undefined(struct jrun *r, struct jval v);

bool jval_is_true(struct jval v);
/* len(): false when v has none. */
bool jval_length(struct jval v, size_t *n);
bool jval_equal(struct jrun *r, struct jval a, struct jval b);
/* The same object. */
bool jval_is_same(struct jval a, struct jval b);
/* a < b, or fail; op is for the sentence. */
bool jval_less(struct jrun *r, struct jval a, struct jval b, const char *op);
/* Numbers: -1, 0, 1, or 2 when one is NaN. */
int jval_compare_numbers(struct jval a, struct jval b);

/* --- strings --- */

/* Of bytes that stay. */
const struct jstr *jstr_borrow(struct jrun *r, const char *p, size_t len);
const struct jstr *jstr_copy(struct jrun *r, const char *p, size_t len);
static inline const struct jstr *jstr_of(struct jrun *r, const char *text)
{
    return jstr_borrow(r, text, __builtin_strlen(text));
}
bool jstr_equal(const struct jstr *a, const struct jstr *b);
bool jstr_is(const struct jstr *s, const char *text);
int jstr_compare(const struct jstr *a, const struct jstr *b);
/* Byte offset of character i, i <= chars. */
size_t jstr_offset(struct jrun *r, const struct jstr *s, size_t i);
/* Characters from to to. */
const struct jstr *jstr_part(struct jrun *r, const struct jstr *s, size_t from, size_t to);
/* Byte offset of needle in s at or behind `at`, or SIZE_MAX. */
size_t jstr_find(struct jrun *r, const struct jstr *s, size_t at, const struct jstr *needle);

/* A text in the making: what has been put between begin and end becomes a string. */
static inline size_t jstr_begin(const struct jrun *r)
{
    return r->text.len;
}
const struct jstr *jstr_end(struct jrun *r, size_t begin);

/* --- containers --- */

struct jlist *jlist_new(struct jrun *r, size_t cap);
void jlist_add(struct jrun *r, struct jlist *l, struct jval v);
static inline struct jval jval_list(const struct jlist *l)
{
    return (struct jval){.type = JVAL_LIST, .u.list = l};
}
static inline struct jval jval_tuple(const struct jlist *l)
{
    return (struct jval){.type = JVAL_TUPLE, .u.list = l};
}
struct jval jval_pair(struct jrun *r, struct jval a, struct jval b);

struct jdict *jdict_new(struct jrun *r);
/* Fail when the key has no hash. */
void jdict_set(struct jrun *r, struct jdict *d, struct jval key, struct jval value);
/* NULL when absent. Fails when the key has no hash. */
struct jval *jdict_get(struct jrun *r, const struct jdict *d, struct jval key);
struct jval *jdict_get_str(struct jrun *r, const struct jdict *d, const struct jstr *key);
static inline struct jval jval_dict(struct jdict *d)
{
    return (struct jval){.type = JVAL_DICT, .u.dict = d};
}
/* Can it be a key? */
bool jval_is_hashable(struct jval v);

#endif
