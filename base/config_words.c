/* Keys of the command line. */
#include "base/check.h"
#include "base/config_table.h"

#include <errno.h>
#include <string.h>

static int append_section(struct config *c, const struct section_row *s, const char *id,
                          void **section, struct err *e)
{
    size_t n = config_count(c, s);

    if (id[0] == '\0' || strlen(id) >= CONFIG_ID_MAX || !config_is_text(id, strlen(id)))
        return err_set(e, EINVAL, "\"%.60s\": expected a name of 1 to %d bytes of text", id,
                       CONFIG_ID_MAX - 1);
    for (size_t i = 0; i < n; i++)
        if (strcmp(config_id(s, config_section_at(c, s, i)), id) == 0)
            return err_set(e, EINVAL, "[%s \"%s\"] is there already", s->name, id);
    if (n == s->max)
        return err_set(e, EINVAL, "[%s \"%s\"]: there are %zu of these already, which is the most",
                       s->name, id, n);
    *section = config_append(c, s, id);
    return 0;
}

static int apply_word(struct config *c, const struct config_word *w, struct err *e)
{
    const struct section_row *s = config_find_section(w->section);
    void *section = NULL;

    CHECK(s != NULL && s->is_named == (w->id != NULL));
    const struct key_row *k = config_find_key(s, w->key);
    CHECK(k != NULL);
    int rc = 0;
    if (s->is_named)
        rc = append_section(c, s, w->id, &section, e);
    else
        section = config_section_at(c, s, 0);
    if (rc == 0 && (rc = config_set_key(section, k, w->value, e)) != 0)
        err_prefix(e, "%s of %s", w->key, s->is_named ? w->id : s->name);
    return rc;
}

int config_apply_words(struct config *c, const struct config_words *words, struct err *e)
{
    for (size_t i = 0; words != NULL && i < words->n; i++)
        if (apply_word(c, &words->word[i], e) != 0)
            return err_prefix(e, "command line");
    return 0;
}
