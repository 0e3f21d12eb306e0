#include "base/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOPBACK_NET 127 /* 127.0.0.0/8 */

static int read_port(const char *text, uint16_t *port)
{
    unsigned long v = 0;

    if (text[0] == '\0' || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
        return -EINVAL;
    v = strtoul(text, NULL, 10);
    if (v > UINT16_MAX)
        return -EINVAL;
    *port = (uint16_t)v;
    return 0;
}

int config_split_address(const char *address, char *host, size_t host_size, uint16_t *port,
                         struct err *e)
{
    const char *from = address, *to = strrchr(address, ':');
    bool has_brackets = address[0] == '[';

    if (has_brackets) {
        from++;
        to = strchr(address, ']');
        if (to == NULL || to[1] != ':')
            return err_set(e, EINVAL, "found \"%.100s\", expected [address]:port", address);
    }
    size_t len = to != NULL ? (size_t)(to - from) : 0;
    if (to == NULL || read_port(to + (has_brackets ? 2 : 1), port) != 0)
        return err_set(e, EINVAL, "found \"%.100s\", expected host:port", address);
    if (len >= host_size)
        return err_set(e, EINVAL, "found a host of %zu bytes in \"%.100s\", expected at most %zu",
                       len, address, host_size - 1);
    memcpy(host, from, len);
    host[len] = '\0';

    struct in6_addr v6;
    if (has_brackets ? inet_pton(AF_INET6, host, &v6) != 1 : strpbrk(host, ": \t/[]") != NULL)
        return err_set(e, EINVAL, "found \"%.100s\", expected host:port or [IPv6 address]:port",
                       address);
    return 0;
}

int config_is_loopback(const char *address)
{
    char host[CONFIG_STR_MAX];
    uint16_t port;
    struct in_addr v4;
    struct in6_addr v6;

    if (config_split_address(address, host, sizeof host, &port, NULL) != 0)
        return 0;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == LOOPBACK_NET;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) ||
               (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == LOOPBACK_NET);
    return strcmp(host, "localhost") == 0;
}
