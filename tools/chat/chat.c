#include "tools/chat/chat.h"

#include "tools/chat/answer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PATH "/v1/chat/completions"

int chat_take_signal(struct chat *c)
{
    struct signalfd_siginfo si;

    if (read(c->signal_fd, &si, sizeof si) != (ssize_t)sizeof si)
        return 0;
    if (si.ssi_signo != SIGINT)
        c->signal = (int)si.ssi_signo;
    return (int)si.ssi_signo;
}

/* What was said counts, also when it was cut short: the next question may be about it. */
static void remember(struct chat *c, struct answer *a)
{
    if (buf_pending(&a->content) > 0)
        talk_add(&c->talk, TALK_ASSISTANT, a->content.data, buf_pending(&a->content));
    else
        talk_drop_last(&c->talk);
}

static int exit_code_of(int rc, bool is_passing)
{
    if (rc == -EINVAL)
        return EXIT_PERMANENT;
    return rc != -EREMOTEIO || is_passing ? EXIT_TEMPORARY : EXIT_PERMANENT;
}

int chat_ask(struct chat *c, int *exit_code, struct err *e)
{
    struct answer a;
    struct buf body = {0};
    bool is_passing = true;

    answer_open(&a, &c->screen);
    talk_write_request(&c->talk, &body);
    int rc = client_post(c->client, PATH, body.data, body.len, answer_take, &a, e);
    if (rc == 0)
        rc = answer_end(&a, &is_passing, e);
    if (rc == -EINTR)
        chat_take_signal(c);
    screen_end(&c->screen);
    if (rc == 0 && a.is_cut)
        screen_note(&c->screen, "(cut: that was the limit of tokens)");
    remember(c, &a);
    *exit_code = rc == 0 ? EXIT_OK : exit_code_of(rc, is_passing);
    buf_free(&body);
    answer_close(&a);
    return rc;
}
