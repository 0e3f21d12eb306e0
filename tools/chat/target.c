#include "tools/chat/target.h"

#include "base/fd.h"
#include "shm/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool target_is_given(const struct target_options *o)
{
    return o->config_path != NULL || o->url != NULL || o->key_path != NULL;
}

static int set_model(struct target *t, const char *model, struct err *e)
{
    if (model[0] == '\0' || strlen(model) >= sizeof t->model)
        return err_set(e, EINVAL, "\"%.60s\": expected the name of a model, 1 to %zu bytes", model,
                       sizeof t->model - 1);
    if (model[0] == '/' || model[0] == '.')
        return err_set(e, ENOENT, "%s: no such directory, and no model is called so", model);
    snprintf(t->model, sizeof t->model, "%s", model);
    return 0;
}

/* One line. */
static int read_key(struct target *t, const char *path, struct err *e)
{
    struct buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set(e, errno, "open %s: %s", path, strerror(errno));
    int rc = fd_read_all(fd, &text, sizeof t->key - 1, e);
    close(fd);
    if (rc == 0) {
        snprintf(t->key, sizeof t->key, "%.*s", (int)strcspn(buf_text(&text), " \t\r\n"),
                 buf_text(&text));
        if (t->key[0] == '\0')
            rc = err_set(e, EINVAL, "found no key");
    }
    buf_free(&text);
    return rc == 0 ? 0 : err_prefix(e, "%s", path);
}

/* "every address" is reached on the loopback one. */
static const char *reachable(const char *host)
{
    if (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : host;
}

static int set_url(struct target *t, const char *scheme, const char *listen, struct err *e)
{
    char host[CONFIG_STR_MAX];
    uint16_t port;
    int rc = config_split_address(listen, host, sizeof host, &port, e);

    if (rc != 0)
        return rc;
    const char *name = reachable(host);
    snprintf(t->url, sizeof t->url, strchr(name, ':') != NULL ? "%s://[%s]:%u" : "%s://%s:%u",
             scheme, name, port);
    return 0;
}

/* Port 0 is one the kernel chose: the running node's segment says which. */
static int find_listen(const struct config *c, char *listen, size_t size, struct err *e)
{
    const struct shm_node *node;
    struct gateway_record r;
    char host[CONFIG_STR_MAX];
    uint16_t port;
    size_t bytes;
    int rc = config_split_address(c->gateway.listen, host, sizeof host, &port, e);

    if (rc != 0)
        return rc;
    snprintf(listen, size, "%s", c->gateway.listen);
    if (port != 0)
        return 0;
    if (node_attach(&node, &bytes, c->instance.name, e) != 0)
        return err_set(e, EAGAIN, "instance %s does not run: its port is known only then",
                       c->instance.name);
    if (seqlock_copy(&node->gateway, &r) == 0 && r.listen[0] != '\0')
        snprintf(listen, size, "%.79s", r.listen);
    else
        rc = err_set(e, EAGAIN, "instance %s does not listen yet", c->instance.name);
    node_detach(node, bytes);
    return rc;
}

static int find_configured(struct target *t, const char *path, struct err *e)
{
    struct config c;
    char listen[CONFIG_STR_MAX];
    int rc = config_load(&c, path != NULL ? path : config_default_path(), NULL, e);

    if (rc != 0)
        return err_prefix(e, "where is the node? --url says it, or the configuration");
    rc = find_listen(&c, listen, sizeof listen, e);
    if (rc == 0)
        rc = set_url(t, c.gateway.tls_cert[0] != '\0' ? "https" : "http", listen, e);
    if (rc == 0) /* its own certificate vouches for it, whoever signed that */
        snprintf(t->ca_path, sizeof t->ca_path, "%s", c.gateway.tls_cert);
    config_free(&c);
    return rc;
}

static int set_given_url(struct target *t, const char *url, struct err *e)
{
    size_t len = strlen(url);

    while (len > 0 && url[len - 1] == '/')
        len--;
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        len >= sizeof t->url)
        return err_set(e, EINVAL, "--url %.100s: expected http://host:port or https://host:port",
                       url);
    snprintf(t->url, sizeof t->url, "%.*s", (int)len, url);
    return 0;
}

int target_find(struct target *t, const char *model, const struct target_options *o, struct err *e)
{
    *t = (struct target){0};
    int rc = set_model(t, model, e);

    if (rc == 0 && o->key_path != NULL)
        rc = read_key(t, o->key_path, e);
    if (rc != 0)
        return rc;
    return o->url != NULL ? set_given_url(t, o->url, e) : find_configured(t, o->config_path, e);
}

int target_of_own(struct target *t, const char *model, const char *listen, struct err *e)
{
    *t = (struct target){0};
    snprintf(t->model, sizeof t->model, "%s", model);
    return set_url(t, "http", listen, e);
}
