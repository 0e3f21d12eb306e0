#include "base/check.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "router/http/server.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_BATCH 256
#define PAUSE_MS     100

struct listener {
    int fd;
    int spare_fd; /* closed to accept-and-close one connection when descriptors run out */
    struct event *readable;
    struct event *resume;
};

/* Connections per remote address: open addressing, a power of two, rebuilt at half full, larger when most are alive. */
struct addresses {
    struct address_count {
        uint8_t addr[16];
        uint32_t n; /* 0 = free; entries stay until a rebuild drops the free ones */
        bool is_used;
    } *slot;
    size_t n_slots, n_used;
};

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Out of descriptors: take one connection with the spare and close it, so that the backlog's
 * clients see a close instead of nothing, then pause. Never spins. */
static void pause_accepting(struct http_server *s, int why)
{
    struct listener *l = s->listener;
    struct timeval tv = {0, PAUSE_MS * 1000};

    if (l->spare_fd >= 0) {
        close(l->spare_fd);
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        l->spare_fd = open_spare();
    }
    if (counter_get(&s->counters->accept_pauses) % 100 == 0)
        log_warning(LOG_HTTP, "accept: %s; pausing %d ms", strerror(why), PAUSE_MS);
    counter_add(&s->counters->accept_pauses, 1);
    event_del(l->readable);
    evtimer_add(l->resume, &tv);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;

    (void)fd;
    (void)what;
    if (s->listener->spare_fd < 0)
        s->listener->spare_fd = open_spare();
    event_add(s->listener->readable, NULL);
}

static bool is_transient(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET ||
           error == EHOSTUNREACH || error == EOPNOTSUPP || error == ENETUNREACH;
}

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg)
{
    struct http_server *s = arg;

    (void)what;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage addr;
        socklen_t len = sizeof addr;
        int fd = accept4(listen_fd, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            if (errno == EAGAIN)
                return;
            if (is_transient(errno))
                continue;
            pause_accepting(s, errno);
            return;
        }
        if (s->n_conns >= (uint64_t)s->config->gateway.max_connections ||
            !address_admit(s, &addr)) {
            counter_add(&s->counters->connections_refused, 1);
            close(fd);
            continue;
        }
        conn_open(s, fd, &addr, len);
    }
}

int listener_open(struct http_server *s, int fd, struct err *e)
{
    struct listener *l = calloc(1, sizeof *l);
    CHECK(l != NULL);
    int rc = fd_set_nonblocking(fd);
    if (rc != 0) {
        free(l);
        return err_set(e, -rc, "listening socket %d: %s", fd, strerror(-rc));
    }
    s->addresses = calloc(1, sizeof *s->addresses);
    CHECK(s->addresses != NULL);
    l->fd = fd;
    l->spare_fd = open_spare();
    l->readable = event_new(s->base, fd, EV_READ | EV_PERSIST, on_acceptable, s);
    l->resume = evtimer_new(s->base, on_resume, s);
    CHECK(l->readable != NULL && l->resume != NULL);
    s->listener = l;
    event_add(l->readable, NULL);
    return 0;
}

void listener_close(struct http_server *s)
{
    struct listener *l = s->listener;

    if (l == NULL)
        return;
    event_free(l->readable);
    event_free(l->resume);
    close(l->fd);
    if (l->spare_fd >= 0)
        close(l->spare_fd);
    free(l);
    s->listener = NULL;
    free(s->addresses->slot);
    free(s->addresses);
    s->addresses = NULL;
}

/* 16 bytes for any address; false for loopback, which is not counted. */
static bool address_key(const struct sockaddr_storage *sa, uint8_t key[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memset(key, 0, 16);
    if (sa->ss_family == AF_INET) {
        memcpy(key, mapped, 12);
        memcpy(key + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    } else if (sa->ss_family == AF_INET6) {
        memcpy(key, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
        if (IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr))
            return false;
    } else {
        return false;
    }
    return !(memcmp(key, mapped, 12) == 0 && key[12] == 127);
}

static struct address_count *find_slot(struct addresses *a, const uint8_t key[16])
{
    size_t i = hash_xxh3(key, 16) & (a->n_slots - 1);

    while (a->slot[i].is_used && memcmp(a->slot[i].addr, key, 16) != 0)
        i = (i + 1) & (a->n_slots - 1);
    return &a->slot[i];
}

static void rebuild_addresses(struct addresses *a)
{
    struct addresses old = *a;
    size_t n_live = 0;

    for (size_t i = 0; i < old.n_slots; i++)
        n_live += old.slot[i].is_used && old.slot[i].n > 0;
    a->n_slots = old.n_slots == 0 ? 64 : n_live * 4 > old.n_slots ? old.n_slots * 2 : old.n_slots;
    a->slot = calloc(a->n_slots, sizeof *a->slot);
    CHECK(a->slot != NULL);
    a->n_used = 0;
    for (size_t i = 0; i < old.n_slots; i++)
        if (old.slot[i].is_used && old.slot[i].n > 0) {
            *find_slot(a, old.slot[i].addr) = old.slot[i];
            a->n_used++;
        }
    free(old.slot);
}

bool address_admit(struct http_server *s, const void *sockaddr)
{
    struct addresses *a = s->addresses;
    uint8_t key[16];

    if (!address_key(sockaddr, key))
        return true;
    if ((a->n_used + 1) * 2 > a->n_slots)
        rebuild_addresses(a);
    struct address_count *slot = find_slot(a, key);
    if (slot->n >= (uint64_t)s->config->gateway.connections_per_address)
        return false;
    if (!slot->is_used) {
        slot->is_used = true;
        memcpy(slot->addr, key, 16);
        a->n_used++;
    }
    slot->n++;
    return true;
}

void address_release(struct http_server *s, const void *sockaddr)
{
    uint8_t key[16];

    if (s->addresses == NULL || !address_key(sockaddr, key))
        return;
    struct address_count *slot = find_slot(s->addresses, key);
    CHECK(slot->is_used && slot->n > 0);
    slot->n--;
}
