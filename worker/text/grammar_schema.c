/* Grammars of one schema. */
#include "worker/text/grammar_compiled.h"
#include "worker/text/schema.h"

int grammar_compile_schema(const struct grammar_vocab *v, const struct json_object *schema,
                           const struct grammar_limits *limits, struct grammar **out, struct err *e)
{
    const struct grammar_limits l = limits != NULL ? *limits : GRAMMAR_LIMITS_DEFAULT;
    const struct schema_source source = {
        .schema = schema, .root = schema, .place = "#", .limits = &l};
    struct nfa n;

    *out = NULL;
    nfa_init(&n, l.states_max * 4);
    uint32_t root = nfa_rule(&n);
    int rc = schema_compile(&n, n.rules[root].from, n.rules[root].to, &source, e);
    if (rc == 0)
        rc = grammar_make(v, &n, root, &l, out, e);
    nfa_free(&n);
    return rc;
}

int grammar_compile_object(const struct grammar_vocab *v, struct grammar **out, struct err *e)
{
    const struct grammar_limits l = GRAMMAR_LIMITS_DEFAULT;
    struct nfa n;

    nfa_init(&n, l.states_max);
    uint32_t root = nfa_rule(&n);
    nfa_call(&n, n.rules[root].from, n.rules[root].to, RULE_OBJECT);
    int rc = grammar_make(v, &n, root, &l, out, e);
    nfa_free(&n);
    return rc;
}
