/* The configuration as text: effective values, and the reference page. */
#include "base/config_table.h"

#include <ctype.h>
#include <string.h>

static void add_quoted(struct buf *out, const char *text)
{
    buf_add_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
    buf_add_char(out, '"');
}

/* A string as config_parse takes it back: in quotes where it would be cut or trimmed. */
static void add_value(struct buf *out, const char *text)
{
    size_t len = strlen(text);
    bool is_plain =
        len == 0 || (text[0] != '"' && strchr(text, ';') == NULL &&
                     !isspace((unsigned char)text[0]) && !isspace((unsigned char)text[len - 1]));

    if (is_plain)
        buf_add_str(out, text);
    else
        add_quoted(out, text);
}

static void add_range(struct buf *out, const struct key_row *k)
{
    switch (k->type) {
    case TYPE_STR:
        buf_add_str(out, "text");
        return;
    case TYPE_BOOL:
        buf_add_str(out, "yes or no");
        return;
    case TYPE_INT:
        buf_printf(out, "%lld to %lld", (long long)k->min, (long long)k->max);
        if (k->unit[0] != '\0')
            buf_printf(out, " %s", k->unit);
        return;
    }
}

static void add_comment(struct buf *out, const struct key_row *k)
{
    buf_printf(out, "# %s (", k->help);
    add_range(out, k);
    buf_printf(out, "; default %s; takes effect at: %s)\n", k->def[0] != '\0' ? k->def : "empty",
               config_reload_name(k->reload));
}

static void print_section(struct buf *out, const struct section_row *s, const void *section,
                          bool is_commented)
{
    size_t n;
    const struct key_row *keys = s->keys(&n);

    buf_printf(out, "%s[%s", out->len > 0 ? "\n" : "", s->name);
    if (s->is_named) {
        buf_add_char(out, ' ');
        add_quoted(out, config_id(s, section));
    }
    buf_add_str(out, "]\n");
    for (size_t i = 0; i < n; i++) {
        struct buf value = {0};
        if (is_commented)
            add_comment(out, &keys[i]);
        config_print_value(section, &keys[i], &value);
        buf_printf(out, value.len > 0 ? "%s = " : "%s =", keys[i].name);
        add_value(out, buf_text(&value));
        buf_add_char(out, '\n');
        buf_free(&value);
    }
}

void config_print(const struct config *c, struct buf *out, bool is_commented)
{
    for (size_t i = 0; i < config_n_sections; i++) {
        const struct section_row *s = &config_sections[i];
        for (size_t j = 0; j < config_count(c, s); j++)
            print_section(out, s, config_section_at(c, s, j), is_commented);
    }
    if (c->n_aliases == 0)
        return;
    buf_add_str(out, "\n[alias]\n");
    for (size_t i = 0; i < c->n_aliases; i++) {
        buf_printf(out, "%s = ", c->aliases[i].id);
        add_value(out, c->aliases[i].model);
        buf_add_char(out, '\n');
    }
}

static void add_cell(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '*' || *text == '<')
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
}

void config_print_reference(struct buf *out)
{
    buf_add_str(out, "# Configuration reference\n\n"
                     "Precedence: default, file, environment `CORTEX_SECTION__KEY` (sections "
                     "without a name only), command line (`--listen`, `--model`).\n");
    for (size_t i = 0; i < config_n_sections; i++) {
        const struct section_row *s = &config_sections[i];
        size_t n;
        const struct key_row *keys = s->keys(&n);

        buf_printf(out, s->is_named ? "\n## [%s \"name\"]\n\n" : "\n## [%s]\n\n", s->name);
        buf_add_str(out, "| key | default | range | takes effect at | meaning |\n"
                         "|---|---|---|---|---|\n");
        for (size_t j = 0; j < n; j++) {
            buf_printf(out, "| `%s` | ", keys[j].name);
            buf_printf(out, keys[j].def[0] != '\0' ? "`%s` | " : "%s | ", keys[j].def);
            add_range(out, &keys[j]);
            buf_printf(out, " | %s | ", config_reload_name(keys[j].reload));
            add_cell(out, keys[j].help);
            buf_add_str(out, " |\n");
        }
    }
    buf_add_str(out, "\n## [alias]\n\nAny key is a further name clients may use; its value is the "
                     "model meant. At most ");
    buf_printf(out, "%d of them.\n", CONFIG_ALIASES_MAX);
}
