#include "tools/chat/client.h"

#include "base/buf.h"
#include "base/check.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 10000L
#define SILENCE_S  60L /* a node says something every second */
#define POLL_MS    1000

struct client {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    struct buf url;
    int interrupt_fd;
    char error[CURL_ERROR_SIZE];

    /* Of the request that runs. */
    client_bytes_fn *fn;
    void *ctx;
    int fn_rc;
    struct err *e;
};

static size_t take_bytes(char *bytes, size_t size, size_t n, void *ctx)
{
    struct client *c = ctx;
    long status = 0;

    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    c->fn_rc = c->fn(c->ctx, status, bytes, size * n, c->e);
    return c->fn_rc == 0 ? size * n : CURL_WRITEFUNC_ERROR;
}

static void add_header(struct client *c, const char *text)
{
    struct curl_slist *longer = curl_slist_append(c->headers, text);

    CHECK(longer != NULL);
    c->headers = longer;
}

static void set_headers(struct client *c, const char *key)
{
    struct buf line = {0};

    add_header(c, "Content-Type: application/json");
    add_header(c, "Expect:"); /* the body goes at once, however long */
    if (key == NULL)
        return;
    buf_printf(&line, "Authorization: Bearer %s", key);
    add_header(c, buf_text(&line));
    buf_free(&line);
}

/* Everything is said here; a proxy of the environment is not for a node of one's own. */
static CURLcode set_options(struct client *c, const char *ca_path)
{
    CURLcode rc = curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");

#define SET(option, value) rc = rc == CURLE_OK ? curl_easy_setopt(c->easy, option, value) : rc
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_ERRORBUFFER, c->error);
    SET(CURLOPT_HTTPHEADER, c->headers);
    SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    SET(CURLOPT_WRITEFUNCTION, take_bytes);
    SET(CURLOPT_WRITEDATA, c);
    if (ca_path != NULL)
        SET(CURLOPT_CAINFO, ca_path);
#undef SET
    return rc;
}

int client_open(struct client **out, const struct client_options *o, struct err *e)
{
    struct client *c = calloc(1, sizeof *c);

    *out = c;
    CHECK(c != NULL);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, ENOMEM, "libcurl cannot be initialised");
    c->multi = curl_multi_init();
    c->easy = curl_easy_init();
    if (c->multi == NULL || c->easy == NULL)
        return err_set(e, ENOMEM, "libcurl: out of memory");
    c->interrupt_fd = o->interrupt_fd;
    buf_add_str(&c->url, o->url);
    set_headers(c, o->key);
    CURLcode rc = set_options(c, o->ca_path);
    return rc == CURLE_OK ? 0 : err_set(e, EINVAL, "libcurl: %s", curl_easy_strerror(rc));
}

void client_close(struct client **client)
{
    struct client *c = *client;

    if (c == NULL)
        return;
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->headers);
    buf_free(&c->url);
    free(c);
    curl_global_cleanup();
    *client = NULL;
}

static int describe_end(struct client *c, CURLcode code)
{
    const char *why = c->error[0] != '\0' ? c->error : curl_easy_strerror(code);

    if (code == CURLE_OK && c->fn_rc == 0)
        take_bytes(NULL, 0, 0, c); /* its status counts without a body, too */
    if (code == CURLE_OK || c->fn_rc != 0)
        return c->fn_rc;
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        return err_set(c->e, ECONNREFUSED, "nobody answers at %s: %s; does `cortex serve` run?",
                       buf_text(&c->url), why);
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return err_set(c->e, EINVAL, "%s: expected http://host:port", buf_text(&c->url));
    return err_set(c->e, ECONNRESET, "%s: %s", buf_text(&c->url), why);
}

/* The request is in c->multi. */
static int run(struct client *c)
{
    struct curl_waitfd interrupt = {.fd = c->interrupt_fd, .events = CURL_WAIT_POLLIN};

    for (;;) {
        int n_running = 0, n_left;
        CURLMcode rc = curl_multi_perform(c->multi, &n_running);
        if (rc == CURLM_OK && n_running > 0)
            rc = curl_multi_poll(c->multi, &interrupt, 1, POLL_MS, NULL);
        if (rc != CURLM_OK)
            return err_set(c->e, EIO, "libcurl: %s", curl_multi_strerror(rc));
        if (n_running > 0 && interrupt.revents != 0)
            return -EINTR;
        CURLMsg *msg = curl_multi_info_read(c->multi, &n_left);
        if (msg != NULL && msg->msg == CURLMSG_DONE)
            return describe_end(c, msg->data.result);
    }
}

int client_post(struct client *c, const char *path, const char *body, size_t len,
                client_bytes_fn *fn, void *ctx, struct err *e)
{
    struct buf url = {0};

    c->fn = fn;
    c->ctx = ctx;
    c->fn_rc = 0;
    c->e = e;
    c->error[0] = '\0';
    buf_printf(&url, "%s%s", buf_text(&c->url), path);
    curl_easy_setopt(c->easy, CURLOPT_URL, buf_text(&url)); /* copied */
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, body); /* borrowed until we return */
    buf_free(&url);
    CURLMcode rc = curl_multi_add_handle(c->multi, c->easy);
    if (rc != CURLM_OK)
        return err_set(e, EIO, "libcurl: %s", curl_multi_strerror(rc));
    int end = run(c);
    curl_multi_remove_handle(c->multi, c->easy); /* closes the connection of an unfinished answer */
    return end;
}
