#include "tools/cortexctl/ctl.h"
#include "tools/cortexctl/table.h"

#include "shm/node.h"

#include <inttypes.h>
#include <string.h>

static const char *writer_name(const struct describe *d, const struct shm_section_desc *s,
                               char *buf, size_t size)
{
    if (s->writer == PROCESS_NONE)
        return "process in the slot";
    return describe_enum(d, "process_kind", s->writer, buf, size);
}

static void add_field(struct ctl *c, const struct shm_field_desc *f)
{
    if (!c->is_json) {
        buf_printf(&c->out, "  %6u %6u  %-4s  ", f->offset, f->size, describe_type_name(f->type));
        add_printable(&c->out, f->name);
        if (f->set[0] != '\0')
            buf_add_char(&c->out, ' ');
        add_printable(&c->out, f->set);
        buf_add_char(&c->out, '\n');
        return;
    }
    json_begin(&c->out, NULL, '{');
    json_text(&c->out, "name", f->name);
    json_text(&c->out, "type", describe_type_name(f->type));
    json_count(&c->out, "offset", f->offset);
    json_count(&c->out, "size", f->size);
    json_text(&c->out, "set", f->set);
    json_end(&c->out, '}');
}

static void add_section(struct ctl *c, const struct shm_section_desc *s)
{
    struct shm_field_desc f;
    char writer[32];

    if (c->is_json) {
        json_begin(&c->out, NULL, '{');
        json_text(&c->out, "name", s->name);
        json_text(&c->out, "kind", describe_kind_name(s->kind));
        json_count(&c->out, "count", s->count);
        json_count(&c->out, "stride", s->stride);
        json_count(&c->out, "offset", s->offset);
        json_count(&c->out, "record", s->payload);
        json_text(&c->out, "writer", writer_name(&c->d, s, writer, sizeof writer));
        json_begin(&c->out, "fields", '[');
    } else {
        buf_add_char(&c->out, '\n');
        add_printable(&c->out, s->name);
        buf_printf(&c->out, ": %s, %u x %u bytes at %" PRIu64 ", record at %u, writer: %s\n",
                   describe_kind_name(s->kind), s->count, s->stride, s->offset, s->payload,
                   writer_name(&c->d, s, writer, sizeof writer));
    }
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (describe_field_at(&c->d, s, i, &f) == 0)
            add_field(c, &f);
    if (c->is_json)
        buf_add_str(&c->out, "]}");
}

static void add_set_head(struct ctl *c, const char *set, bool is_first)
{
    if (c->is_json) {
        if (!is_first)
            buf_add_str(&c->out, "]}");
        json_begin(&c->out, NULL, '{');
        json_text(&c->out, "set", set);
        json_begin(&c->out, "values", '[');
        return;
    }
    buf_add_str(&c->out, "\n");
    add_printable(&c->out, set);
    buf_add_str(&c->out, ":\n");
}

static void add_set_value(struct ctl *c, const struct shm_enum_desc *row)
{
    if (c->is_json) {
        json_begin(&c->out, NULL, '{');
        json_count(&c->out, "value", row->value);
        json_text(&c->out, "text", row->text);
        json_end(&c->out, '}');
        return;
    }
    buf_printf(&c->out, "  %9u  ", row->value);
    add_printable(&c->out, row->text);
    buf_add_char(&c->out, '\n');
}

/* The rows of a set stand together: a new name begins a new set. */
static void add_sets(struct ctl *c)
{
    struct shm_enum_desc row;
    char set[sizeof row.set] = "";
    uint32_t i = 0;

    if (c->is_json)
        json_begin(&c->out, "sets", '[');
    for (; describe_enum_at(&c->d, i, &row) == 0; i++) {
        if (i == 0 || strcmp(set, row.set) != 0)
            add_set_head(c, row.set, i == 0);
        memcpy(set, row.set, sizeof set);
        add_set_value(c, &row);
    }
    if (c->is_json)
        buf_add_str(&c->out, i > 0 ? "]}]" : "]");
}

static void add_header(struct ctl *c)
{
    const struct shm_header *h = &c->d.header;

    if (c->is_json) {
        json_count(&c->out, "version", h->version);
        json_count(&c->out, "header_bytes", h->header_size);
        json_count(&c->out, "total_bytes", h->total_size);
        json_text(&c->out, "program_version", h->program_version);
        struct cell hash;
        cell_id(&hash, h->layout_hash);
        json_cell(&c->out, "layout_hash", &hash);
        json_flag(&c->out, "is_of_this_build", h->layout_hash == node_layout_hash());
        return;
    }
    buf_printf(&c->out, "layout version %u, header %u bytes, %" PRIu64 " bytes in all\n",
               h->version, h->header_size, h->total_size);
    if (c->is_built_in)
        return; /* the golden file: nothing that a release or a hash library changes */
    buf_printf(&c->out, "hash %016" PRIx64 ", written by cortex ", h->layout_hash);
    add_printable(&c->out, h->program_version);
    buf_add_str(&c->out, h->layout_hash == node_layout_hash() ? ", the same as this program's\n"
                                                              : ", another than this program's\n");
}

int ctl_layout(struct ctl *c, struct err *e)
{
    struct shm_section_desc s;

    (void)e;
    if (c->is_json)
        json_begin(&c->out, NULL, '{');
    add_header(c);
    if (c->is_json)
        json_begin(&c->out, "sections", '[');
    for (uint32_t i = 0; i < c->d.header.n_sections; i++)
        if (describe_section_at(&c->d, i, &s) == 0)
            add_section(c, &s);
    if (c->is_json)
        json_end(&c->out, ']');
    add_sets(c);
    if (c->is_json)
        buf_add_str(&c->out, "}\n");
    return 0;
}
