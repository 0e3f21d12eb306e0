/* Forms of tool calls. */
#include "base/check.h"
#include "base/json.h"
#include "worker/text/grammar_form.h"
#include "worker/text/grammar_nfa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALL_BEGIN    "<tool_call>"
#define CALL_END      "\n</tool_call>"
#define PARAMETER_END "\n</parameter>"
#define FUNCTION_END  "</function>"

struct call_maker {
    struct grammar_form *f;
    struct err *e;
};

static grammar_node literal(struct call_maker *m, const char *text)
{
    return grammar_form_literal(m->f, text, strlen(text));
}

/* Of what an expression is put together from. */
struct node_list {
    grammar_node *node; /* owned */
    uint32_t n, cap;
};

static void list_add(struct node_list *l, grammar_node node)
{
    l->node = grammar_grow(l->node, l->n, &l->cap, sizeof *l->node);
    l->node[l->n++] = node;
}

static grammar_node list_sequence(struct call_maker *m, struct node_list *l)
{
    grammar_node node = grammar_form_sequence(m->f, l->node, l->n);

    free(l->node);
    *l = (struct node_list){0};
    return node;
}

static grammar_node list_choice(struct call_maker *m, struct node_list *l)
{
    grammar_node node = grammar_form_choice(m->f, l->node, l->n);

    free(l->node);
    *l = (struct node_list){0};
    return node;
}

static bool is_free(const struct grammar_tool *tool)
{
    return !tool->is_strict || tool->parameters == NULL;
}

/* Where in which tool, for errors. */
static void write_place(const struct grammar_tool *tool, const char *rest, struct buf *out)
{
    buf_add_str(out, "tool ");
    buf_add_printable(out, tool->name, tool->name_len < 64 ? tool->name_len : 64, "");
    buf_add_str(out, ", #");
    if (rest != NULL) {
        buf_add_str(out, "/properties/");
        buf_add_printable(out, rest, strlen(rest), "");
    }
}

/* --- {"name": "f", "arguments": {...}} --- */

static int add_json_tool(struct call_maker *m, const struct grammar_tool *tool, grammar_node *out)
{
    struct buf text = {0}, place = {0};
    struct node_list parts = {0};

    buf_add_str(&text, "\n{\"name\": ");
    buf_add_json_string(&text, tool->name, tool->name_len);
    buf_add_str(&text, ", \"arguments\": ");
    write_place(tool, NULL, &place);
    list_add(&parts, grammar_form_literal(m->f, text.data, text.len));
    list_add(&parts, is_free(tool) ? grammar_form_object(m->f)
                                   : grammar_form_schema(m->f, tool->parameters, buf_text(&place)));
    list_add(&parts, literal(m, "}" CALL_END));
    *out = list_sequence(m, &parts);
    buf_free(&text);
    buf_free(&place);
    return 0;
}

/* --- <function=f> <parameter=p> v </parameter> </function> --- */

static grammar_node any_parameters(struct call_maker *m)
{
    struct node_list parts = {0};

    list_add(&parts, literal(m, "<parameter="));
    list_add(&parts, grammar_form_text(m->f, ">\n", false));
    list_add(&parts, grammar_form_text(m->f, PARAMETER_END, false));
    list_add(&parts, literal(m, "\n"));
    return grammar_form_repeat(m->f, list_sequence(m, &parts), 0, 0);
}

static grammar_node one_parameter(struct call_maker *m, const struct grammar_tool *tool,
                                  const char *name, const struct json_object *schema)
{
    struct buf text = {0}, place = {0};
    struct node_list parts = {0};

    buf_printf(&text, "<parameter=%s>\n", name);
    write_place(tool, name, &place);
    list_add(&parts, grammar_form_literal(m->f, text.data, text.len));
    list_add(&parts,
             grammar_form_bare(m->f, schema, tool->parameters, buf_text(&place), PARAMETER_END));
    list_add(&parts, literal(m, "\n"));
    buf_free(&text);
    buf_free(&place);
    return list_sequence(m, &parts);
}

static bool is_required(const struct json_object *parameters, const char *name)
{
    struct json_object *list = json_get(parameters, "required");
    size_t len;

    for (size_t i = 0; json_type_of(list) == JSON_ARRAY && i < json_length(list); i++)
        if (json_type_of(json_at(list, i)) == JSON_STRING &&
            strcmp(json_string(json_at(list, i), &len), name) == 0)
            return true;
    return false;
}

static int refuse(struct call_maker *m, const struct grammar_tool *tool, const char *what,
                  const char *name)
{
    struct buf place = {0};

    write_place(tool, NULL, &place);
    int rc = err_set(m->e, EINVAL, "%.100s: %s '%.100s'", buf_text(&place), what, name);
    buf_free(&place);
    return rc;
}

/* What only a schema of JSON can follow stands in the way of parameters one by one. */
static int check_parameters(struct call_maker *m, const struct grammar_tool *tool)
{
    static const char *const refused[] = {"$ref",
                                          "anyOf",
                                          "oneOf",
                                          "allOf",
                                          "enum",
                                          "const",
                                          "patternProperties",
                                          "propertyNames",
                                          "not",
                                          "if",
                                          "minProperties",
                                          "maxProperties",
                                          "dependentRequired",
                                          "dependentSchemas",
                                          "unevaluatedProperties"};
    const struct json_object *o = tool->parameters;
    struct json_object *list = json_type_of(o) == JSON_OBJECT ? json_get(o, "required") : NULL;
    struct json_object *named = json_type_of(o) == JSON_OBJECT ? json_get(o, "properties") : NULL;
    size_t len;

    if (json_type_of(o) != JSON_OBJECT || (named != NULL && json_type_of(named) != JSON_OBJECT))
        return refuse(m, tool, "expected an object with an object", "properties");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (json_get(o, refused[i]) != NULL)
            return refuse(m, tool, "parameters in this form cannot follow", refused[i]);
    for (size_t i = 0; json_type_of(list) == JSON_ARRAY && i < json_length(list); i++) {
        const char *name = json_type_of(json_at(list, i)) == JSON_STRING
                               ? json_string(json_at(list, i), &len)
                               : "";
        if (named == NULL || json_get(named, name) == NULL)
            return refuse(m, tool, "a required member has no schema:", name);
    }
    return 0;
}

static int add_parameters(struct call_maker *m, const struct grammar_tool *tool,
                          struct node_list *parts)
{
    int rc = check_parameters(m, tool);

    if (rc != 0)
        return rc;
    struct json_object *named = json_get(tool->parameters, "properties");
    struct json_object *more = json_get(tool->parameters, "additionalProperties");
    struct json_iterator it = {0};
    if (named != NULL)
        for (it = json_members(named); json_next(&it);) {
            if (strpbrk(it.key, ">\n") != NULL)
                return refuse(m, tool, "a name that cannot be written in this form:", it.key);
            grammar_node one = one_parameter(m, tool, it.key, it.value);
            bool required = is_required(tool->parameters, it.key);
            list_add(parts, required ? one : grammar_form_repeat(m->f, one, 0, 1));
        }
    bool has_more =
        more != NULL ? json_type_of(more) != JSON_BOOL || json_bool(more) : named == NULL;
    if (has_more)
        list_add(parts, any_parameters(m));
    return 0;
}

static int add_xml_tool(struct call_maker *m, const struct grammar_tool *tool, grammar_node *out)
{
    struct buf text = {0};
    struct node_list parts = {0};
    int rc = 0;

    if (memchr(tool->name, '>', tool->name_len) != NULL ||
        memchr(tool->name, '\n', tool->name_len) != NULL)
        return refuse(m, tool, "a name that cannot be written in this form:", "name");
    buf_add_str(&text, "\n<function=");
    buf_add(&text, tool->name, tool->name_len);
    buf_add_str(&text, ">\n");
    list_add(&parts, grammar_form_literal(m->f, text.data, text.len));
    buf_free(&text);
    if (is_free(tool))
        list_add(&parts, any_parameters(m));
    else
        rc = add_parameters(m, tool, &parts);
    list_add(&parts, literal(m, FUNCTION_END CALL_END));
    *out = list_sequence(m, &parts);
    return rc;
}

/* --- all of it --- */

/* begin, then what a call is behind its tag, then more of them. */
static grammar_node some_calls(struct call_maker *m, const struct grammar_calls *calls,
                               grammar_node begin, grammar_node behind_tag)
{
    struct node_list parts = {0};

    list_add(&parts, begin);
    list_add(&parts, behind_tag);
    if (calls->is_parallel) {
        struct node_list more = {0};
        list_add(&more, literal(m, "\n" CALL_BEGIN));
        list_add(&more, behind_tag);
        list_add(&parts, grammar_form_repeat(m->f, list_sequence(m, &more), 0, 0));
    }
    return list_sequence(m, &parts);
}

static grammar_node put_together(struct call_maker *m, const struct grammar_calls *calls,
                                 grammar_node behind_tag)
{
    struct node_list either = {0};

    if (!calls->is_optional)
        return some_calls(m, calls, literal(m, CALL_BEGIN), behind_tag);
    if (!calls->has_content)
        return some_calls(m, calls, grammar_form_text(m->f, CALL_BEGIN, true), behind_tag);
    list_add(&either, calls->content != NULL ? grammar_form_schema(m->f, calls->content, "#")
                                             : grammar_form_object(m->f));
    list_add(&either, some_calls(m, calls, literal(m, CALL_BEGIN), behind_tag));
    return list_choice(m, &either);
}

int grammar_compile_calls(const struct grammar_vocab *v, const struct grammar_calls *calls,
                          const struct grammar_limits *limits, struct grammar **out, struct err *e)
{
    struct call_maker m = {.f = grammar_form_new(), .e = e};
    struct node_list tools = {0};
    int rc = 0;

    CHECK(calls->n_tools > 0);
    *out = NULL;
    for (size_t i = 0; i < calls->n_tools && rc == 0; i++) {
        grammar_node tool = 0;
        rc = calls->form == GRAMMAR_CALL_JSON ? add_json_tool(&m, &calls->tools[i], &tool)
                                              : add_xml_tool(&m, &calls->tools[i], &tool);
        list_add(&tools, tool);
    }
    grammar_node behind_tag = list_choice(&m, &tools);
    if (rc == 0)
        rc = grammar_compile_form(v, m.f, put_together(&m, calls, behind_tag), limits, out, e);
    grammar_form_free(&m.f);
    return rc;
}
