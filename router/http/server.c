#include "router/http/server.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "router/http/tls.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void set_hosts(struct http_server *s, const char *text)
{
    size_t n = 0, max = strlen(text) / 2 + 2;
    const char **names = calloc(max, sizeof *names);
    char *copy = strdup(text), *rest = copy;

    CHECK(names != NULL && copy != NULL);
    for (char *p = copy; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    free((void *)(uintptr_t)s->hosts.names);
    free(s->hosts_text);
    s->hosts = (struct gate_hosts){.names = names};
    s->hosts_text = copy;
    for (char *name; (name = strtok_r(rest, " ,\t", &rest)) != NULL;) {
        if (strcmp(name, "*") == 0)
            s->hosts.is_any = true;
        else
            names[n++] = name;
    }
    s->hosts.n_names = n;
}

/* The host the listener is bound to is ours as well; bound to any address, any is. */
static void add_listen_host(struct http_server *s, const char *listen, char *text, size_t size)
{
    char host[CONFIG_STR_MAX];
    uint16_t port;

    if (config_split_address(listen, host, sizeof host, &port, NULL) != 0)
        return;
    if (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        snprintf(text, size, "* %s", s->config->gateway.hosts);
    else if (strchr(host, ':') != NULL)
        snprintf(text, size, "[%s] %s", host, s->config->gateway.hosts);
    else
        snprintf(text, size, "%s %s", host, s->config->gateway.hosts);
}

int http_server_configure(struct http_server *s, const struct config *config, struct err *e)
{
    const struct config_gateway *g = &config->gateway;
    struct tls_context *tls = NULL;
    char hosts[2 * CONFIG_STR_MAX + 8] = "";

    if (!s->is_metrics && g->tls_cert[0] != '\0') {
        tls = tls_context_new(g->tls_cert, g->tls_key, e);
        if (tls == NULL)
            return -e->code;
    }
    tls_context_free(&s->tls);
    s->tls = tls;
    s->config = config;
    add_listen_host(s, s->is_metrics ? g->metrics_listen : g->listen, hosts, sizeof hosts);
    set_hosts(s, hosts);
    s->head_due.interval_ns = (uint64_t)g->head_timeout_s * NS_PER_S;
    s->idle_due.interval_ns = (uint64_t)g->idle_timeout_s * NS_PER_S;
    s->write_due.interval_ns = (uint64_t)g->write_timeout_s * NS_PER_S;
    s->tls_due.interval_ns = (uint64_t)g->tls_timeout_s * NS_PER_S;
    return 0;
}

static void refresh_date(struct http_server *s)
{
    time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

int http_server_start(struct http_server *s, int listen_fd, struct err *e)
{
    conns_init(s);
    int rc = http_server_configure(s, s->config, e);
    if (rc == 0)
        rc = listener_open(s, listen_fd, e);
    refresh_date(s);
    return rc;
}

void http_server_tick(struct http_server *s, uint64_t now_ns)
{
    refresh_date(s);
    conns_tick(s, now_ns);
}

void http_server_drain(struct http_server *s)
{
    s->is_draining = true;
    conns_drain(s);
}

void http_server_stop(struct http_server *s)
{
    if (s->conns == NULL)
        return;
    conns_close(s);
    listener_close(s);
    tls_context_free(&s->tls);
    free((void *)(uintptr_t)s->hosts.names);
    free(s->hosts_text);
    s->hosts = (struct gate_hosts){0};
    s->hosts_text = NULL;
}
