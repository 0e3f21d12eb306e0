/* What children say on their control sockets. Every message is input from a stranger: a wrong one
 * ends the incarnation that sent it, a late one (of a link that is gone) is dropped. */
#include "base/log.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define INBOX_BURST 64 /* messages of one child per turn of the loop */

typedef void inbox_handler(struct tree *t, struct child *c, const struct control_msg *m);

static void on_hello(struct tree *t, struct child *c, const struct control_msg *m)
{
    if (m->epoch != c->epoch || m->pid != c->pid)
        child_accuse(c, EV_VIOLATION, t->now_ns,
                     "hello of pid %d, incarnation %llx; expected pid %d, incarnation %llx",
                     (int)m->pid, (unsigned long long)m->epoch, (int)c->pid,
                     (unsigned long long)c->epoch);
    else if (m->layout_hash != t->node->header.layout_hash)
        child_accuse(c, EV_VIOLATION, t->now_ns,
                     "hello with layout %016llx, expected %016llx: another version of Cortex",
                     (unsigned long long)m->layout_hash,
                     (unsigned long long)t->node->header.layout_hash);
    else
        child_event(c, EV_HELLO, t->now_ns);
}

static void on_ready(struct tree *t, struct child *c, const struct control_msg *m)
{
    if (c->kind == PROCESS_WORKER &&
        (m->seats == 0 || m->seats > SHM_REQUESTS_MAX || m->vocab == 0 || m->context == 0)) {
        child_accuse(c, EV_VIOLATION, t->now_ns, "ready with %u seats, vocabulary %u, context %u",
                     m->seats, m->vocab, m->context);
        return;
    }
    if (keeper_is_unsettled(t, c)) {
        child_accuse(c, EV_VIOLATION, t->now_ns, "it was ready before it had its weights");
        return;
    }
    c->seats = m->seats;
    c->vocab = m->vocab;
    c->context = m->context;
    c->has_text = m->has_text != 0;
    c->has_chat = m->has_chat != 0;
    c->has_tools = m->has_tools != 0;
    c->has_reasoning = m->has_reasoning != 0;
    c->has_embedding = m->has_embedding != 0;
    child_event(c, EV_READY, t->now_ns);
}

static void on_refused(struct tree *t, struct child *c, const struct control_msg *m)
{
    (void)t;
    if (!c->is_killed)
        snprintf(c->why, sizeof c->why, "%s", m->text);
}

static void on_mapped(struct tree *t, struct child *c, const struct control_msg *m)
{
    links_mapped(t, c, m->epoch);
}

/* Words about a worker are the router's alone; about a link that is gone they come too late. */
static struct child *accused(struct tree *t, struct child *c, const struct control_msg *m)
{
    if (c->kind == PROCESS_ROUTER)
        return links_find(t, m->slot, m->epoch);
    child_accuse(c, EV_VIOLATION, t->now_ns, "it sent %s, which is the router's word",
                 control_type_name(m->type));
    return NULL;
}

static void on_violation(struct tree *t, struct child *c, const struct control_msg *m)
{
    struct child *w = accused(t, c, m);

    if (w != NULL)
        child_accuse(w, EV_VIOLATION, t->now_ns, "protocol violation: %s", m->text);
}

static void on_proved(struct tree *t, struct child *c, const struct control_msg *m)
{
    struct child *w = accused(t, c, m);

    if (w != NULL)
        child_event(w, EV_PROVED, t->now_ns);
}

static void on_trial(struct tree *t, struct child *c, const struct control_msg *m)
{
    struct child *w = accused(t, c, m);

    if (w != NULL)
        w->is_on_trial = m->is_trial != 0;
}

/* Epoch 0 answers DRAIN (everything), another one LINK_DRAIN. */
static void on_drained(struct tree *t, struct child *c, const struct control_msg *m)
{
    if (c->kind == PROCESS_ROUTER && m->epoch == 0) {
        child_event(c, EV_DRAINED, t->now_ns);
        return;
    }
    struct child *w = accused(t, c, m);
    if (w != NULL)
        child_event(w, EV_DRAINED, t->now_ns);
}

static inbox_handler *const handlers[CONTROL_TYPES_N] = {
    [CONTROL_HELLO] = on_hello,           [CONTROL_READY] = on_ready,
    [CONTROL_REFUSED] = on_refused,       [CONTROL_LINK_MAPPED] = on_mapped,
    [CONTROL_VIOLATION] = on_violation,   [CONTROL_PROVED] = on_proved,
    [CONTROL_TRIAL] = on_trial,           [CONTROL_DRAINED] = on_drained,
    [CONTROL_WEIGHTS_WANT] = keeper_want, [CONTROL_WEIGHTS_FILLED] = keeper_filled,
};

/* 1 = *m is a message without descriptors, else as control_recv. */
static int receive(struct child *c, struct control_msg *m, struct err *e)
{
    int fds[CONTROL_FDS];
    int rc = control_recv(c->control, m, fds, e);

    for (int i = 0; i < CONTROL_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]); /* no message to the supervisor carries any */
    return rc;
}

static void handle(struct tree *t, struct child *c, const struct control_msg *m)
{
    if (handlers[m->type] == NULL)
        child_accuse(c, EV_VIOLATION, t->now_ns, "it sent %s, which is the supervisor's word",
                     control_type_name(m->type));
    else if (!c->has_hello && m->type != CONTROL_HELLO && c->state == CHILD_STARTING)
        child_accuse(c, EV_VIOLATION, t->now_ns, "it sent %s before hello",
                     control_type_name(m->type));
    else
        handlers[m->type](t, c, m);
}

static void lose_control(struct tree *t, struct child *c)
{
    loop_unwatch(t, c->control);
    close(c->control);
    c->control = -1;
    c->control_lost_ns = t->now_ns;
}

void inbox_read(struct tree *t, struct child *c)
{
    struct control_msg m;
    struct err e = {0};

    for (int i = 0; i < INBOX_BURST && c->control >= 0; i++) {
        int rc = receive(c, &m, &e);
        if (rc == 1) {
            handle(t, c, &m);
            continue;
        }
        if (rc == 0)
            lose_control(t, c);
        else if (rc == -EPROTO)
            child_accuse(c, EV_VIOLATION, t->now_ns, "%s", e.text);
        return;
    }
}

void inbox_read_refusal(struct tree *t, struct child *c)
{
    struct control_msg m;
    struct err e = {0};
    int rc = 1;

    for (int i = 0; i < INBOX_BURST && c->control >= 0 && rc > 0; i++) {
        rc = receive(c, &m, &e);
        if (rc == 1 && m.type == CONTROL_REFUSED)
            on_refused(t, c, &m);
    }
}
