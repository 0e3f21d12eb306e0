#include "worker/engine/marks.h"

static bool is_opened_at(const struct sequence *q, uint32_t position)
{
    return q->tokens[position - 1] == q->prompt.opener;
}

static uint32_t find_last_opening(const struct sequence *q)
{
    uint32_t position = q->prompt.opener != PROMPT_NO_OPENER ? q->n_prompt : 0;

    while (position > 0 && !is_opened_at(q, position))
        position--;
    return position;
}

void marks_begin(struct sequence *q, uint32_t n_hit, uint32_t n_matched)
{
    q->marks = (struct marks){.begin = n_hit, .last = n_hit, .opening = find_last_opening(q)};
    if (n_matched >= n_hit + MARK_DISTANCE)
        q->marks.branch = n_matched;
}

static bool is_mark(const struct sequence *q, uint32_t position)
{
    const struct marks *m = &q->marks;
    bool is_apart = position - m->last >= MARK_DISTANCE;

    if (position % MARK_EVERY == 0 || position == m->branch)
        return true;
    if (position == m->opening)
        return position - m->begin >= MARK_DISTANCE;
    if (position == q->n_prompt)
        return is_apart && position - m->opening >= MARK_DISTANCE;
    return is_apart && q->prompt.opener != PROMPT_NO_OPENER && is_opened_at(q, position);
}

uint32_t marks_next(const struct sequence *q, uint32_t from, uint32_t to)
{
    if (to > q->n_prompt)
        to = q->n_prompt;
    for (uint32_t position = from + 1; position <= to; position++)
        if (is_mark(q, position))
            return position;
    return 0;
}
