/* cortex-router: every byte of HTTP. Started by the supervisor, with the descriptors and the
 * control socket of shm/control.h; never by hand. */
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "router/api/api.h"
#include "router/api/replay.h"
#include "router/api/generate.h"
#include "router/router.h"
#include "shm/control.h"
#include "shm/eventlog.h"
#include "shm/node.h"
#include "shm/panic.h"

#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SWEEP_TICKS  2 /* every 100 ms */
#define LOOP_TURN_US 2000

static struct router router;

static void on_queue_due(void *owner, uint64_t now_ns)
{
    struct request *r = owner;
    char text[160];

    snprintf(text, sizeof text, "no worker of model %s became free within %" PRIu64 " s",
             r->model->name, (now_ns - r->accepted_ns) / NS_PER_S);
    request_fail(r, ERROR_NO_WORKER, text);
}

static void on_life_due(void *owner, uint64_t now_ns)
{
    struct request *r = owner;
    char text[160];

    snprintf(text, sizeof text, "the request took longer than %" PRIu64 " s",
             (now_ns - r->accepted_ns) / NS_PER_S);
    request_fail(r, ERROR_DEADLINE, text);
}

static void beat(struct router *rt, uint64_t now_ns)
{
    struct shm_beat *b = &rt->node->beat[SHM_PROC_ROUTER];

    counter_add(&b->progress, 1);
    atomic_store_explicit(&b->at_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&b->phase, rt->is_draining ? PHASE_DRAINING : PHASE_SERVING,
                          memory_order_relaxed);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct router *rt = arg;
    uint64_t now_ns = clock_now_ns();
    uint64_t due_ns = rt->last_tick_ns + TICK_MS * NS_PER_MS;

    (void)fd;
    (void)what;
    histogram_add(&rt->node->router_histograms.loop_lag_seconds,
                  now_ns > due_ns ? now_ns - due_ns : 0);
    rt->last_tick_ns = now_ns;
    beat(rt, now_ns);
    deadline_queue_run(&rt->hold_due, now_ns);
    deadline_queue_run(&rt->queue_due, now_ns);
    deadline_queue_run(&rt->life_due, now_ns);
    http_server_tick(&rt->client, now_ns);
    if (rt->has_metrics)
        http_server_tick(&rt->metrics, now_ns);
    request_pool_tick(rt);
    if (++rt->n_ticks % SWEEP_TICKS == 0) {
        for (int i = 0; i < SHM_WORKERS_MAX; i++)
            link_sweep(&rt->links[i]);
        dispatch_sweep(rt, now_ns);
        control_check_drained(rt);
        http_server_flush(&rt->client);
    }
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
    struct router *rt = arg;

    (void)fd;
    (void)what;
    router_stop(rt);
}

/* Segment and configuration, from the inherited descriptors. */
static int attach(struct router *rt, struct err *e)
{
    struct buf text = {0};
    int rc = node_map_fd(&rt->node, CHILD_FD_SEGMENT, e);

    if (rc != 0)
        return rc;
    rt->boot_id = rt->node->header.boot_id;
    rt->counters = &rt->node->router_counters;
    panic_install(&rt->node->panic[SHM_PROC_ROUTER]);
    eventlog_install(&rt->node->log[SHM_PROC_ROUTER]);
    rc = fd_read_all(CHILD_FD_CONFIG, &text, CONFIG_TEXT_MAX, e);
    if (rc == 0)
        rc = config_parse(&rt->config, "supervisor", buf_text(&text), buf_pending(&text), e);
    buf_free(&text);
    if (rc != 0)
        return rc;
    log_init("router", rt->config.instance.log_format, rt->config.instance.log_level);
    return 0;
}

static void say_hello(const struct router *rt)
{
    struct control_msg msg = {.type = CONTROL_HELLO,
                              .pid = getpid(),
                              .epoch = rt->epoch,
                              .layout_hash = node_layout_hash()};

    control_send(CHILD_FD_CONTROL, &msg, NULL, 0);
}

/* A sentence for the supervisor, which shows it as the reason. */
static int refuse_start(const struct err *e)
{
    struct control_msg msg = {.type = CONTROL_REFUSED};

    snprintf(msg.text, sizeof msg.text, "%s", e->text);
    control_send(CHILD_FD_CONTROL, &msg, NULL, 0);
    log_error(LOG_SYSTEM, "%s", e->text);
    return EXIT_PERMANENT;
}

static void reset_gauges(struct router *rt)
{
    counter_set(&rt->counters->connections_open, 0);
    counter_set(&rt->counters->requests_open, 0);
    counter_set(&rt->counters->links_up, 0);
}

static int start_servers(struct router *rt, struct err *e)
{
    struct http_server common = {.base = rt->base,
                                 .config = &rt->config,
                                 .counters = rt->counters,
                                 .context = rt};

    rt->client = rt->metrics = common;
    rt->client.app = &client_app;
    rt->client.id_prefix = rt->boot_id ^ rt->epoch << 32;
    int rc = http_server_start(&rt->client, CHILD_FD_LISTEN, e);
    rt->has_metrics = rt->config.gateway.metrics_listen[0] != '\0';
    if (rc != 0 || !rt->has_metrics)
        return rc;
    rt->metrics.app = &metrics_app;
    rt->metrics.is_metrics = true;
    rt->metrics.id_prefix = ~rt->client.id_prefix;
    return http_server_start(&rt->metrics, CHILD_FD_LISTEN + 1, e);
}

/* Callbacks that activate themselves again (a busy link, a long encoding) must not keep the loop
 * from sockets and timers: it looks for those at least this often. */
static struct event_base *new_base(void)
{
    const struct timeval turn = {0, LOOP_TURN_US};
    struct event_config *config = event_config_new();

    CHECK(config != NULL && event_config_set_max_dispatch_interval(config, &turn, -1, 0) == 0);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    CHECK(base != NULL);
    return base;
}

static int start(struct router *rt, struct err *e)
{
    struct timeval tick = {0, TICK_MS * 1000};
    struct event *term;

    signal(SIGPIPE, SIG_IGN);
    rt->base = new_base();
    reset_gauges(rt);
    for (uint32_t i = 0; i < SHM_WORKERS_MAX; i++)
        link_init(rt, &rt->links[i], i);
    models_refresh(rt);
    request_pool_init(rt, (uint32_t)rt->config.gateway.max_requests);
    responses_store_init(&rt->responses);
    deadline_queue_init(&rt->queue_due, 0, on_queue_due);
    deadline_queue_init(&rt->life_due, 0, on_life_due);
    deadline_queue_init(&rt->hold_due, HOLD_MS * NS_PER_MS, generation_hold_due);
    rt->replay = replay_new();
    router_configure(rt);
    int rc = start_servers(rt, e);
    if (rc != 0)
        return rc;
    rt->last_tick_ns = clock_now_ns();
    rt->tick = event_new(rt->base, -1, EV_PERSIST, on_tick, rt);
    term = evsignal_new(rt->base, SIGTERM, on_term, rt);
    CHECK(rt->tick != NULL && term != NULL);
    event_add(rt->tick, &tick);
    event_add(term, NULL);
    beat(rt, rt->last_tick_ns);
    control_start(rt);
    return 0;
}

/* Everything back, so that a leak is a leak and not a habit. */
static void tear_down(struct router *rt)
{
    http_server_stop(&rt->client);
    if (rt->has_metrics)
        http_server_stop(&rt->metrics);
    for (uint32_t i = 0; i < rt->requests.n_slots; i++) {
        struct request *r = rt->requests.slot[i];
        if (r != NULL) {
            request_unbind(r);
            request_free(r);
        }
    }
    for (int i = 0; i < SHM_WORKERS_MAX; i++)
        link_close(&rt->links[i]);
    request_pool_free(rt);
    responses_store_free(&rt->responses);
    replay_free(&rt->replay);
    config_free(&rt->config);
}

static int parse_arguments(int argc, char **argv, struct router *rt)
{
    char *end = NULL;

    if (argc == 3 && strcmp(argv[1], "--epoch") == 0)
        rt->epoch = strtoull(argv[2], &end, 10);
    if (end == NULL || *end != '\0' || rt->epoch == 0) {
        fprintf(stderr, "cortex-router is started by `cortex serve`, not by hand\n");
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};

    if (parse_arguments(argc, argv, &router) != 0)
        return EXIT_PERMANENT;
    if (attach(&router, &e) != 0)
        return refuse_start(&e);
    say_hello(&router);
    if (start(&router, &e) != 0)
        return refuse_start(&e);
    event_base_dispatch(router.base);
    tear_down(&router);
    return EXIT_OK;
}
