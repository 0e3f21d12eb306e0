/* cortex-chat, started as `cortex run`: a question or a conversation, with a node that runs or with
 * one of our own. */
#include "base/check.h"
#include "tools/chat/chat.h"
#include "tools/chat/demo.h"
#include "tools/chat/own.h"
#include "tools/chat/request.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROMPT_MAX (32u << 20)

static int fail(const struct err *e, int code)
{
    fprintf(stderr, "cortex: %s\n", e->text);
    return code;
}

static int open_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;

    sigaction(SIGPIPE, &ignore, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Now that everything is put away: end as the signal would have ended us. */
static void end_by_signal(int number)
{
    sigset_t set;

    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Standard input, without the newline at its end. 0 or -errno with the sentence. */
static int read_prompt(struct buf *prompt, struct err *e)
{
    ssize_t n;

    while ((n = read(STDIN_FILENO, buf_reserve(prompt, 65536), 65536)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "standard input: %s", strerror(errno));
        buf_commit(prompt, (size_t)n);
        if (buf_pending(prompt) > PROMPT_MAX)
            return err_set(e, EFBIG, "standard input: more than %u bytes", PROMPT_MAX);
    }
    if (prompt->len > 0 && prompt->data[prompt->len - 1] == '\n')
        prompt->len--;
    if (prompt->len == 0)
        return err_set(e, EINVAL, "standard input: found nothing, expected a prompt");
    return 0;
}

static int ask_once(struct chat *c, const char *prompt, size_t len)
{
    struct err e = {0};
    int code;

    talk_add(&c->talk, TALK_USER, prompt, len);
    int rc = chat_ask(c, &code, &e);
    if (rc == -EINTR && c->signal == 0)
        c->signal = SIGINT;
    if (rc == -EPIPE)
        c->signal = SIGPIPE;
    if (rc == 0 || c->signal != 0)
        return code;
    return fail(&e, code);
}

static int converse(struct chat *c, const struct request *r)
{
    struct buf prompt = {0};
    struct err e = {0};
    int code;

    if (r->prompt != NULL)
        return ask_once(c, r->prompt, strlen(r->prompt));
    if (isatty(STDIN_FILENO) == 1)
        return chat_interact(c);
    int rc = read_prompt(&prompt, &e);
    code = rc == 0 ? ask_once(c, prompt.data, prompt.len) : fail(&e, EXIT_PERMANENT);
    buf_free(&prompt);
    return code;
}

/* The node is there, or will be: open the client to it. */
static int connect_to(struct chat *c, const struct target *t, struct err *e)
{
    struct client_options o = {.url = t->url,
                               .key = t->key[0] != '\0' ? t->key : NULL,
                               .ca_path = t->ca_path[0] != '\0' ? t->ca_path : NULL,
                               .interrupt_fd = c->signal_fd};

    c->talk.model = strdup(t->model);
    CHECK(c->talk.model != NULL);
    return client_open(&c->client, &o, e);
}

static int talk_to_own(struct chat *c, const struct request *r, struct own *own)
{
    struct target t;
    struct err e = {0};
    char demo[PATH_MAX];
    int rc = r->subject == NULL ? demo_find(demo, sizeof demo, &e) : 0;

    if (rc != 0)
        return fail(&e, EXIT_PERMANENT);
    rc = own_start(own, r->subject != NULL ? r->subject : demo, &e);
    if (rc == 0)
        rc = own_wait(own, c->signal_fd, &e);
    if (rc == 0)
        rc = target_of_own(&t, own->model, own->listen, &e);
    if (rc == 0)
        rc = connect_to(c, &t, &e);
    if (rc == -EINTR) {
        c->signal = chat_take_signal(c);
        return EXIT_TEMPORARY;
    }
    if (rc != 0)
        return fail(&e, rc == -ECANCELED ? EXIT_PERMANENT : EXIT_TEMPORARY);
    c->node_fd = own->pidfd;
    return converse(c, r);
}

static int talk_to_running(struct chat *c, const struct request *r)
{
    struct target t;
    struct err e = {0};
    int rc = target_find(&t, r->subject, &r->target, &e);

    if (rc == 0)
        rc = connect_to(c, &t, &e);
    if (rc != 0)
        return fail(&e, rc == -EAGAIN ? EXIT_TEMPORARY : EXIT_PERMANENT);
    return converse(c, r);
}

static bool wants_own(const struct request *r)
{
    struct stat st;

    if (r->subject == NULL)
        return true;
    return !target_is_given(&r->target) && stat(r->subject, &st) == 0 && S_ISDIR(st.st_mode);
}

int main(int argc, char **argv)
{
    struct request r;
    struct chat c = {.node_fd = -1};
    struct own own;
    int code = request_parse(&r, argc, argv);

    if (code != EXIT_OK || r.is_page_only)
        return code;
    own_init(&own);
    screen_open(&c.screen);
    c.signal_fd = open_signals();
    c.talk.wishes = r.wishes;
    talk_set_system(&c.talk, r.system);
    code = wants_own(&r) ? talk_to_own(&c, &r, &own) : talk_to_running(&c, &r);
    client_close(&c.client);
    talk_free(&c.talk);
    own_end(&own, c.signal_fd);
    close(c.signal_fd);
    if (c.signal != 0)
        end_by_signal(c.signal);
    return code;
}
