#include "supervisor/listen.h"

#include "base/config.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int set_flag(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : errno;
}

/* The fd or -errno, no sentence. */
static int open_at(const struct sockaddr *addr, socklen_t len, int is_any)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int code = 0;

    if (fd < 0)
        return -errno;
    code = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (code == 0 && addr->sa_family == AF_INET6)
        code = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any);
    if (code == 0 && bind(fd, addr, len) != 0)
        code = errno;
    if (code == 0 && listen(fd, LISTEN_BACKLOG) != 0)
        code = errno;
    if (code == 0)
        return fd;
    close(fd);
    return -code;
}

/* Every address: one socket for both families where the kernel has IPv6. */
static int open_any(uint16_t port)
{
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = open_at((struct sockaddr *)&v6, sizeof v6, 1);

    return fd == -EAFNOSUPPORT ? open_at((struct sockaddr *)&v4, sizeof v4, 1) : fd;
}

static int open_named(const char *address, const char *host, uint16_t port, struct err *e)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];

    snprintf(service, sizeof service, "%u", port);
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0)
        return err_set(e, rc == EAI_AGAIN ? EAGAIN : EINVAL, "listen on %s: %s", address,
                       gai_strerror(rc));
    int fd = open_at(found->ai_addr, found->ai_addrlen, 0);
    freeaddrinfo(found);
    return fd;
}

static void describe_bound(int fd, char *out, size_t size)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    char host[64], service[8];

    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0 ||
        getnameinfo((struct sockaddr *)&addr, len, host, sizeof host, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(out, size, "?");
        return;
    }
    snprintf(out, size, addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, service);
}

int listen_open(const char *address, char *bound, size_t bound_size, struct err *e)
{
    char host[CONFIG_STR_MAX];
    uint16_t port;
    struct err named = {0};
    int rc = config_split_address(address, host, sizeof host, &port, e);

    if (rc != 0)
        return rc;
    int fd = host[0] == '\0' ? open_any(port) : open_named(address, host, port, &named);
    if (fd < 0) {
        if (named.code != 0)
            return err_set(e, named.code, "%s", named.text);
        return err_set(e, -fd, "listen on %s: %s%s", address, strerror(-fd),
                       fd == -EADDRINUSE ? "; another program has that port" : "");
    }
    if (bound != NULL)
        describe_bound(fd, bound, bound_size);
    return fd;
}
