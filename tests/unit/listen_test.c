#include "supervisor/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int is_listening(int fd)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value;
}

static void opens_and_says_where(void **state)
{
    (void)state;
    char bound[80];
    struct err e = {0};
    int fd = listen_open("127.0.0.1:0", bound, sizeof bound, &e);

    assert_true(fd >= 0);
    assert_true(is_listening(fd));
    assert_int_equal(strncmp(bound, "127.0.0.1:", 10), 0);
    assert_string_not_equal(bound, "127.0.0.1:0");
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);

    struct err again = {0};
    assert_int_equal(listen_open(bound, NULL, 0, &again), -EADDRINUSE);
    assert_non_null(strstr(again.text, bound));
    close(fd);
    fd = listen_open(bound, NULL, 0, &again); /* SO_REUSEADDR */
    assert_true(fd >= 0);
    close(fd);
}

static void an_empty_host_is_every_address(void **state)
{
    (void)state;
    char bound[80];
    struct err e = {0};
    int fd = listen_open(":0", bound, sizeof bound, &e);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    assert_true(fd >= 0);
    to.sin_port = htons((uint16_t)atoi(strrchr(bound, ':') + 1));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    close(client);
    close(fd);
}

static void names_and_errors(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        int rc;
    } rows[] = {
        {"127.0.0.1", -EINVAL},
        {"127.0.0.1:70000", -EINVAL},
        {"192.0.2.1:0", -EADDRNOTAVAIL}, /* TEST-NET: nobody has it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = {0};
        assert_int_equal(listen_open(rows[i].address, NULL, 0, &e), rows[i].rc);
        assert_int_equal(e.code, -rows[i].rc);
        assert_non_null(strstr(e.text, rows[i].address));
    }
    struct err e = {0};
    int fd = listen_open("localhost:0", NULL, 0, &e);
    assert_true(fd >= 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_says_where),
        cmocka_unit_test(an_empty_host_is_every_address),
        cmocka_unit_test(names_and_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
