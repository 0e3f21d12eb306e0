/* The supervisor's socket: links come and go, configurations, drain, stop. */
#include "shm/control.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "router/api/replay.h"
#include "router/router.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>


static int send_or_log(const struct control_msg *msg)
{
    int rc = control_send(CHILD_FD_CONTROL, msg, NULL, 0);

    if (rc != 0)
        log_error(LOG_SYSTEM, "tell the supervisor %s: %s", control_type_name(msg->type),
                  strerror(-rc));
    return rc;
}

int control_report_violation(struct link *l, const char *text)
{
    struct control_msg msg = {.type = CONTROL_VIOLATION, .slot = l->slot, .epoch = l->epoch};

    snprintf(msg.text, sizeof msg.text, "%s", text);
    return send_or_log(&msg);
}

void control_report_proved(struct link *l)
{
    send_or_log(&(struct control_msg){.type = CONTROL_PROVED, .slot = l->slot, .epoch = l->epoch});
}

/* The supervisor does not hold a fault against a worker that runs suspects only. */
void control_report_trial(struct link *l)
{
    send_or_log(&(struct control_msg){.type = CONTROL_TRIAL,
                                      .slot = l->slot,
                                      .epoch = l->epoch,
                                      .is_trial = l->trial != NULL});
}

void control_report_link_drained(struct link *l)
{
    send_or_log(&(struct control_msg){.type = CONTROL_DRAINED, .slot = l->slot, .epoch = l->epoch});
}

void control_check_drained(struct router *rt)
{
    if (!rt->is_draining || rt->said_drained || request_pool_open(&rt->requests) > 0 ||
        http_server_is_busy(&rt->client))
        return;
    rt->said_drained = send_or_log(&(struct control_msg){.type = CONTROL_DRAINED}) == 0;
}

void router_configure(struct router *rt)
{
    rt->queue_due.interval_ns = (uint64_t)rt->config.gateway.queue_timeout_s * NS_PER_S;
    rt->life_due.interval_ns = (uint64_t)rt->config.gateway.request_timeout_s * NS_PER_S;
    responses_store_limit(&rt->responses, (size_t)rt->config.gateway.responses_store_mb << 20,
                          (uint32_t)rt->config.gateway.responses_store_max);
    replay_limit(rt->replay, (size_t)rt->config.gateway.replay_mb << 20);
}

static void take_config(struct router *rt, int fd)
{
    struct buf text = {0};
    struct config fresh;
    struct err e;

    if (fd_read_all(fd, &text, CONFIG_TEXT_MAX, &e) != 0 ||
        config_parse(&fresh, "supervisor", buf_text(&text), buf_pending(&text), &e) != 0) {
        log_error(LOG_CONFIG, "new configuration: %s", e.text);
        buf_free(&text);
        return;
    }
    buf_free(&text);
    struct config old = rt->config;
    rt->config = fresh;
    if (http_server_configure(&rt->client, &rt->config, &e) != 0 ||
        (rt->has_metrics && http_server_configure(&rt->metrics, &rt->config, &e) != 0)) {
        log_error(LOG_CONFIG, "new configuration: %s; the old one stays", e.text);
        config_free(&rt->config);
        rt->config = old;
        rt->client.config = rt->metrics.config = &rt->config;
        return;
    }
    http_server_rekey(&rt->client, &old, &rt->config);
    config_free(&old);
    router_configure(rt);
    models_refresh(rt);
    log_info(LOG_CONFIG, "configuration taken: %zu models, %zu keys", rt->config.n_models,
             rt->config.n_keys);
}

static void start_draining(struct router *rt)
{
    rt->is_draining = true;
    http_server_drain(&rt->client);
    control_check_drained(rt);
}

void router_stop(struct router *rt)
{
    for (uint32_t i = 0; i < rt->requests.n_slots; i++) {
        struct request *r = rt->requests.slot[i];
        if (r != NULL && r->ops != NULL)
            request_fail(r, ERROR_SHUTTING_DOWN,
                         "this node is shutting down; try another, or again");
    }
    http_server_flush(&rt->client);
    event_base_loopbreak(rt->base);
}

static void handle(struct router *rt, const struct control_msg *msg, const int *fds)
{
    switch ((enum control_type)msg->type) {
    case CONTROL_LINK_WRITE:
        link_map(rt, msg, fds);
        break;
    case CONTROL_LINK_READ:
        link_start(rt, msg, fds);
        break;
    case CONTROL_LINK_DOWN:
        link_down(rt, msg);
        break;
    case CONTROL_LINK_DRAIN:
        link_drain(rt, msg);
        break;
    case CONTROL_CONFIG:
        take_config(rt, fds[0]);
        break;
    case CONTROL_DRAIN:
        start_draining(rt);
        break;
    case CONTROL_STOP:
        router_stop(rt);
        break;
    case CONTROL_NONE:
    case CONTROL_HELLO:
    case CONTROL_READY:
    case CONTROL_REFUSED:
    case CONTROL_LINK_MAPPED:
    case CONTROL_VIOLATION:
    case CONTROL_PROVED:
    case CONTROL_TRIAL:
    case CONTROL_DRAINED:
    case CONTROL_WEIGHTS_WANT:
    case CONTROL_WEIGHTS_FILLED:
    case CONTROL_WEIGHTS_GRANT:
    case CONTROL_TYPES_N:
        log_error(LOG_SYSTEM, "the supervisor sent %s", control_type_name(msg->type));
        break;
    }
}

static void on_control(evutil_socket_t sock, short what, void *arg)
{
    struct router *rt = arg;
    struct control_msg msg;
    int fds[CONTROL_FDS];
    struct err e;
    int rc;

    (void)what;
    while ((rc = control_recv(sock, &msg, fds, &e)) == 1) {
        handle(rt, &msg, fds);
        for (int i = 0; i < CONTROL_FDS; i++)
            if (fds[i] >= 0)
                close(fds[i]);
    }
    http_server_flush(&rt->client);
    if (rc == 0) {
        log_warning(LOG_SYSTEM, "the supervisor is gone");
        _exit(EXIT_TEMPORARY);
    }
    if (rc == -EPROTO)
        log_error(LOG_SYSTEM, "%s", e.text);
}

void control_start(struct router *rt)
{
    rt->control = event_new(rt->base, CHILD_FD_CONTROL, EV_READ | EV_PERSIST, on_control, rt);
    CHECK(rt->control != NULL);
    event_add(rt->control, NULL);
    send_or_log(&(struct control_msg){.type = CONTROL_READY});
}
