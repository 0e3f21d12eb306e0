/* Large JSON trees are given back a piece at a time: freeing 100,000 values at once would hold up
 * every other connection. */
#include "base/check.h"
#include "router/http/server.h"

#include <event2/event.h>
#include <stdlib.h>

#define REAP_AT_ONCE 2000 /* values in one turn */

struct reaper {
    struct event *turn;
    struct json_object **tree; /* owned, what is left of them */
    size_t n_trees, room;
};

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct reaper *r = arg;

    (void)fd;
    (void)what;
    if (json_free_step(&r->tree[r->n_trees - 1], REAP_AT_ONCE) == 1)
        r->n_trees--;
    if (r->n_trees > 0)
        event_active(r->turn, EV_TIMEOUT, 0);
}

void reaper_open(struct http_server *s)
{
    s->reaper = calloc(1, sizeof *s->reaper);
    CHECK(s->reaper != NULL);
    s->reaper->turn = event_new(s->base, -1, 0, on_turn, s->reaper);
    CHECK(s->reaper->turn != NULL);
}

void reaper_close(struct http_server *s)
{
    while (s->reaper->n_trees > 0)
        json_free(&s->reaper->tree[--s->reaper->n_trees]);
    event_free(s->reaper->turn);
    free(s->reaper->tree);
    free(s->reaper);
    s->reaper = NULL;
}

void http_server_discard(struct http_server *s, struct json_object **tree)
{
    struct reaper *r = s->reaper;

    if (json_free_step(tree, REAP_AT_ONCE) == 1)
        return;
    if (r->n_trees == r->room) {
        r->room = r->room ? r->room * 2 : 4;
        r->tree = realloc(r->tree, r->room * sizeof(struct json_object *));
        CHECK(r->tree != NULL);
    }
    r->tree[r->n_trees++] = *tree;
    *tree = NULL;
    event_active(r->turn, EV_TIMEOUT, 0);
}
