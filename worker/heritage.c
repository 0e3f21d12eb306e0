#include "worker/heritage.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "shm/eventlog.h"
#include "shm/node.h"
#include "shm/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int parse_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;

    if (text == NULL || text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || n > max)
        return -EINVAL;
    *out = n;
    return 0;
}

int worker_args_parse(struct worker_args *args, int argc, char **argv, struct err *e)
{
    uint64_t slot = UINT64_MAX, model = UINT64_MAX, epoch = UINT64_MAX;

    *args = (struct worker_args){0};
    for (int i = 1; i < argc; i++) {
        uint64_t *to;
        uint64_t max;
        if (strcmp(argv[i], "--simulate") == 0) {
            args->is_simulated = true;
            continue;
        }
        if (strcmp(argv[i], "--slot") == 0) {
            to = &slot;
            max = SHM_WORKERS_MAX - 1;
        } else if (strcmp(argv[i], "--model") == 0) {
            to = &model;
            max = CONFIG_MODELS_MAX - 1;
        } else if (strcmp(argv[i], "--epoch") == 0) {
            to = &epoch;
            max = UINT64_MAX - 1;
        } else {
            return err_set(e, EINVAL, "argument %s: not known", argv[i]);
        }
        i++; /* argv ends with NULL */
        if (parse_number(argv[i], max, to) != 0)
            return err_set(e, EINVAL, "%s %s: expected a number of at most %" PRIu64, argv[i - 1],
                           argv[i] != NULL ? argv[i] : "", max);
    }
    if (slot == UINT64_MAX || model == UINT64_MAX || epoch == UINT64_MAX)
        return err_set(e, EINVAL,
                       "usage: cortex-worker --slot N --model INDEX --epoch E [--simulate]; "
                       "the supervisor starts it, people run `cortex serve`");
    args->slot = (uint32_t)slot;
    args->model = (uint32_t)model;
    args->epoch = epoch;
    return 0;
}

static int read_config(struct heritage *h, struct err *e)
{
    struct buf text = {0};
    int rc = fd_read_all(CHILD_FD_CONFIG, &text, CONFIG_TEXT_MAX, e);

    if (rc == 0)
        rc = config_parse(&h->config, "inherited configuration", buf_text(&text),
                          buf_pending(&text), e);
    buf_free(&text);
    return rc;
}

/* What the supervisor published before the fork; it may be publishing again at this moment. */
static int read_records(const struct heritage *h, struct process_record *process,
                        struct model_record *model, struct err *e)
{
    uint64_t deadline_ns = clock_now_ns() + NS_PER_S;

    while (seqlock_copy(&h->node->process[SHM_PROC_WORKER(h->args.slot)], process) != 0 ||
           seqlock_copy(&h->node->model[h->args.model], model) != 0) {
        if (clock_now_ns() > deadline_ns)
            return err_set(e, EAGAIN, "the records of slot %u and model %u are not readable",
                           h->args.slot, h->args.model);
        sched_yield();
    }
    process->name[sizeof process->name - 1] = '\0';
    model->name[sizeof model->name - 1] = '\0';
    return 0;
}

/* The model's number counts in the node segment; the configuration knows it by its name. */
static int find_model(struct heritage *h, const char *name, struct err *e)
{
    for (size_t i = 0; i < h->config.n_models; i++)
        if (strcmp(h->config.models[i].id, name) == 0) {
            h->model = &h->config.models[i];
            return 0;
        }
    return err_set(e, ENOENT, "model %u is \"%s\", which the inherited configuration lacks",
                   h->args.model, name);
}

int heritage_open(struct heritage *h, const struct worker_args *args, struct err *e)
{
    struct process_record process;
    struct model_record model;

    *h = (struct heritage){.args = *args, .control = CHILD_FD_CONTROL};
    int rc = node_map_fd(&h->node, CHILD_FD_SEGMENT, e);
    if (rc != 0)
        return rc;
    panic_install(&h->node->panic[SHM_PROC_WORKER(args->slot)]);
    eventlog_install(&h->node->log[SHM_PROC_WORKER(args->slot)]);
    rc = read_config(h, e);
    if (rc == 0)
        rc = read_records(h, &process, &model, e);
    if (rc == 0)
        rc = find_model(h, model.name, e);
    if (rc != 0)
        return rc;
    h->spawns = process.spawns;
    log_init(process.name, h->config.instance.log_format, h->config.instance.log_level);
    close(CHILD_FD_SEGMENT);
    close(CHILD_FD_CONFIG);
    return 0;
}

void heritage_close(struct heritage *h)
{
    config_free(&h->config);
    close(h->control);
}

struct control_msg heritage_hello(const struct heritage *h)
{
    return (struct control_msg){.type = CONTROL_HELLO,
                                .pid = getpid(),
                                .slot = h->args.slot,
                                .epoch = h->args.epoch,
                                .layout_hash = node_layout_hash()};
}

int heritage_introduce(struct heritage *h, const struct control_msg *hello, struct err *e)
{
    int rc = control_send(h->control, hello, NULL, 0);

    if (rc != 0)
        return err_set(e, -rc, "send hello: %s", strerror(-rc));
    h->is_introduced = true;
    return 0;
}

int heritage_refuse(struct heritage *h, const char *why)
{
    struct control_msg msg = {
        .type = CONTROL_REFUSED, .slot = h->args.slot, .epoch = h->args.epoch};

    log_error(LOG_MODEL, "%s", why);
    if (!h->is_introduced) {
        struct control_msg hello = heritage_hello(h);
        heritage_introduce(h, &hello, NULL);
    }
    snprintf(msg.text, sizeof msg.text, "%s", why);
    /* If the supervisor is gone there is nobody to tell, and the exit code says the rest. */
    (void)control_send(h->control, &msg, NULL, 0);
    return EXIT_PERMANENT;
}
