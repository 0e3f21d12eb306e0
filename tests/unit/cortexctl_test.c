/* cortexctl as people run it: over a live instance, a dead one, a torn one, another version's, and
 * memory full of garbage. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/json_check.h"
#include "shm/eventlog.h"
#include "shm/node.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 8
#define OUTPUT   (64u << 20)

static char instance[32];
static struct node_owner owner;
static char *output; /* what the last run printed, errors too */

/* Start cortexctl on the instance of the test; its output comes through *out. */
static pid_t start(const char *const *args, int *out)
{
    const char *argv[ARGS_MAX + 4] = {"cortexctl", "--instance", instance};
    int fds[2];

    for (int i = 0; i < ARGS_MAX && args[i] != NULL; i++)
        argv[3 + i] = args[i];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        execv(CORTEXCTL_PATH, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(fds[1]);
    *out = fds[0];
    return pid;
}

static int finish(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("ended by signal %d after:\n%.10000s", WTERMSIG(status), output);
    return WEXITSTATUS(status);
}

/* Run to the end: exit code, output in `output`. */
static int run(const char *const *args)
{
    int fd;
    size_t len = 0;
    ssize_t n;
    pid_t pid = start(args, &fd);

    while ((n = read(fd, output + len, OUTPUT - 1 - len)) > 0)
        len += (size_t)n;
    output[len] = '\0';
    close(fd);
    return finish(pid);
}
#define RUN(...) run((const char *const[ARGS_MAX]){__VA_ARGS__})

static void assert_output(const char *part)
{
    if (strstr(output, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, output);
}

static void assert_document(const char *text, size_t len)
{
    struct json_check *check = json_check_new();
    struct err e = {0};

    if (json_check_feed(check, text, len, &e) != 0 || json_check_finish(check, &e) != 0)
        fail_msg("%s in:\n%.*s", e.text, (int)len, text);
    json_check_free(&check);
}

/* One document a line: the log has many, everything else one. */
static void assert_json(void)
{
    size_t len;

    for (const char *line = output; *line != '\0'; line += len) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        len = (size_t)(end - line) + 1;
        assert_document(line, len);
    }
}

static void fill_processes(uint64_t now)
{
    struct process_record p = {.kind = PROCESS_SUPERVISOR,
                               .state = CHILD_READY,
                               .pid = getpid(),
                               .spawns = 1,
                               .spawned_ns = now - 200 * NS_PER_S};
    seqlock_publish(&owner.node->process[0], &p);
    p.kind = PROCESS_ROUTER;
    p.pid = 4711;
    snprintf(p.name, sizeof p.name, "router");
    seqlock_publish(&owner.node->process[1], &p);
    p = (struct process_record){.kind = PROCESS_WORKER,
                                .state = CHILD_BACKOFF,
                                .spawns = 4,
                                .faults = 3,
                                .exit_class = EXIT_CLASS_HUNG,
                                .gone_ns = now - 5 * NS_PER_S,
                                .next_start_ns = now + 60 * NS_PER_S,
                                .name = "demo/model#0",
                                .reason = "no progress for 1000 ms"};
    seqlock_publish(&owner.node->process[2], &p);
    for (int i = 0; i < 3; i++)
        atomic_store(&owner.node->beat[i].at_ns, now);
}

/* An instance in the middle of its work. */
static int make_instance(void **state)
{
    struct err e;
    uint64_t now = clock_now_ns();

    (void)state;
    snprintf(instance, sizeof instance, "ctl.%d", (int)getpid());
    if (node_create(&owner, instance, 1, &e) != 0)
        return -1;
    fill_processes(now);
    struct model_record m = {.name = "demo/model",
                             .state = MODEL_READY,
                             .workers = 2,
                             .workers_ready = 1,
                             .context = 4096};
    seqlock_publish(&owner.node->model[0], &m);
    struct worker_record w = {.model = "demo/model",
                              .device = "cpu",
                              .phase = PHASE_SERVING,
                              .seats = 256,
                              .active = 17,
                              .load_bytes = 3200000000,
                              .load_bytes_total = 12800000000,
                              .load_ns = 2 * NS_PER_S};
    seqlock_publish(&owner.node->worker[0], &w);
    struct gateway_record g = {.listen = "127.0.0.1:4711"};
    seqlock_publish(&owner.node->gateway, &g);
    struct request_record r = {.id = 0xabc,
                               .name = "chatcmpl-abc",
                               .session = 0x77,
                               .dialect = DIALECT_CHAT,
                               .state = REQUEST_RUNNING,
                               .worker = 0,
                               .attempts = 2,
                               .prompt_tokens = 12,
                               .generated_tokens = 101,
                               .is_stream = 1,
                               .accepted_ns = now - 4 * NS_PER_S,
                               .submitted_ns = now - 3 * NS_PER_S,
                               .first_token_ns = now - 2 * NS_PER_S,
                               .last_token_ns = now};
    seqlock_publish(&owner.node->request[100], &r);
    counter_add(&owner.node->router_counters.http_requests, 42);
    counter_add(&owner.node->model_counters[0].completion_tokens, 9001);
    for (int i = 0; i < 100; i++)
        histogram_add(&owner.node->model_histograms[0].queue_wait_seconds, 2 * NS_PER_MS);
    return 0;
}

static int remove_instance(void **state)
{
    char path[64];

    (void)state;
    node_close(&owner, 0);
    snprintf(path, sizeof path, "/cortex.%s", instance);
    shm_unlink(path);
    return 0;
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(RUN("status"), 0);
    assert_null(strstr(output, "!"));
    assert_output(instance);
    assert_output("up 3m20s, client API on 127.0.0.1:4711\n");
    assert_output("router");
    assert_output("demo/model#0  backoff");
    assert_output("hung");
    assert_output("no progress for 1000 ms");
    assert_output("1 requests and 0 connections open");
    assert_output("9001 generated");
    assert_int_equal(RUN("--json", "status"), 0);
    assert_json();
    assert_output("\"is_alive\":true");
    assert_output("\"restarts\":3");
    assert_output("\"listen\":\"127.0.0.1:4711\",\"metrics_listen\":\"\"");
    assert_output("\"notes\":[]");
    assert_output("\"completion_tokens\":9001");
}

static void test_workers_and_requests(void **state)
{
    (void)state;
    assert_int_equal(RUN("workers"), 0);
    assert_output("demo/model#0  demo/model  backoff  serving");
    assert_null(strstr(output, "25.0")); /* it is loaded */
    assert_output("  2.0s  ");
    assert_null(strstr(output, "WEIGHTS"));
    assert_int_equal(RUN("workers", "--json"), 0);
    assert_json();
    assert_output("\"active\":17");
    assert_output("\"load_bytes\":3200000000,\"load_bytes_total\":12800000000,"
                  "\"loaded_percent\":25.0,\"load_gb_s\":1.60,\"load_s\":2.000000");
    assert_output("\"weights\":[]");

    assert_int_equal(RUN("requests"), 0);
    assert_output("chatcmpl-abc  0000000000000077  chat");
    assert_output("50.0"); /* tokens a second */
    assert_int_equal(RUN("requests", "--json"), 0);
    assert_json();
    assert_output("\"id\":\"0000000000000abc\"");
    assert_output("\"queue_s\":1.000000");
    assert_output("\"ttft_s\":2.000000");
    assert_output("\"worker\":\"demo/model#0\"");
    assert_output("\"is_torn\":false");
}

static void test_loading(void **state)
{
    struct worker_record w;

    (void)state;
    assert_int_equal(seqlock_copy(&owner.node->worker[0], &w), 0);
    w.phase = PHASE_LOADING;
    seqlock_publish(&owner.node->worker[0], &w);
    assert_int_equal(RUN("workers"), 0);
    assert_output("3.20 GB  12.80 GB     25.0  1.60     2.0s");
    w.load_bytes_total = w.load_ns = 0; /* nothing is known yet */
    seqlock_publish(&owner.node->worker[0], &w);
    assert_int_equal(RUN("workers"), 0);
    assert_int_equal(RUN("workers", "--json"), 0);
    assert_json();
    assert_output("\"loaded_percent\":null,\"load_gb_s\":null,\"load_s\":null");
}

static void test_weights(void **state)
{
    struct weights_record w = {.key = 0xfeed,
                               .bytes = 1500000,
                               .state = KEPT_FILLED,
                               .users = 1,
                               .waiting = 2,
                               .filled_ns = clock_now_ns() - 3 * NS_PER_S};

    (void)state;
    seqlock_publish(&owner.node->weights[3], &w);
    assert_int_equal(RUN("workers"), 0);
    assert_output("\nWEIGHTS ");
    assert_output("\n000000000000feed  demo/model  filled  1.5 MB        1        2  3.");
    assert_int_equal(RUN("workers", "--json"), 0);
    assert_json();
    assert_output("\"weights\":[{\"key\":\"000000000000feed\",\"model\":\"demo/model\","
                  "\"state\":\"filled\",\"bytes\":1500000,\"workers\":1,\"waiting\":2,");
}

/* Why a model is not served comes first, and stands beside it. */
static void test_failed_model(void **state)
{
    struct model_record m = {.name = "big",
                             .state = MODEL_FAILED,
                             .workers = 1,
                             .reason = "weights need 9 bytes of memory, 8 are\x1b available"};

    (void)state;
    seqlock_publish(&owner.node->model[1], &m);
    assert_int_equal(RUN("status"), 0);
    assert_ptr_equal(
        strstr(output, "! model big has failed: weights need 9 bytes of memory, 8 are? available"),
        output);
    assert_int_equal(RUN("status", "--json"), 0);
    assert_json();
    assert_output("\"notes\":[\"model big has failed: weights need");
    assert_int_equal(RUN("models"), 0);
    assert_output("\nbig         failed ");
    assert_output("weights need 9 bytes of memory, 8 are? available\n");
    assert_output("demo/model  ready ");
    assert_int_equal(RUN("models", "--json"), 0);
    assert_json();
    assert_output("{\"name\":\"big\",\"state\":\"failed\"");
    assert_output("\"reason\":\"weights need 9 bytes of memory, 8 are\\u001b available\"");
}

static void test_counters(void **state)
{
    (void)state;
    assert_int_equal(RUN("counters"), 0);
    assert_output("http_requests");
    assert_int_equal(RUN("counters", "--json"), 0);
    assert_json();
    assert_output("{\"name\":\"http_requests\",\"kind\":\"counter\",\"label\":null,\"of\":null,"
                  "\"value\":42}");
    assert_output("{\"name\":\"completion_tokens\",\"kind\":\"counter\",\"label\":\"model\","
                  "\"of\":\"demo/model\",\"value\":9001}");
    /* 2 ms lies between the bounds 1 ms and 2.5 ms */
    assert_output("{\"name\":\"queue_wait_seconds\",\"label\":\"model\",\"of\":\"demo/model\","
                  "\"count\":100,\"sum_s\":0.200000,\"p50_s\":0.001750,\"p99_s\":0.002485}");
}

static void test_reference(void **state)
{
    (void)state;
    assert_int_equal(RUN("counters", "--reference", "--instance", "nobody.here"), 0);
    assert_output(
        "| `connections_open` | `cortex_connections_open` | gauge |  | Client connections");
    assert_output(
        "| `bytes_sent` | `cortex_bytes_sent_total` | counter | bytes | Bytes written to");
    assert_output("| `loop_lag_seconds` | `cortex_loop_lag_seconds` |");
}

static void test_layout(void **state)
{
    (void)state;
    assert_int_equal(RUN("layout"), 0);
    assert_output("the same as this program's");
    assert_int_equal(RUN("layout", "--json"), 0);
    assert_json();
    assert_output("\"is_of_this_build\":true");
    assert_int_equal(RUN("layout", "--json", "--built-in"), 0);
    assert_json();
}

/* Killed with everything in flight: the tool says so first and shows what is left. */
static void test_post_mortem(void **state)
{
    char gone[64];

    (void)state;
    atomic_store(&owner.node->beat[1].at_ns, clock_now_ns() - 3000 * NS_PER_MS);
    assert_int_equal(RUN("status"), 0);
    assert_output("! router 4711 has made no progress for 3.");
    atomic_fetch_or(&owner.node->request[100].seq, 1);
    node_close(&owner, 0);
    snprintf(gone, sizeof gone, "! supervisor %d is gone", (int)getpid());
    assert_int_equal(RUN("status"), 0);
    assert_ptr_equal(strstr(output, gone), output);
    assert_output("demo/model#0  backoff");
    assert_int_equal(RUN("status", "--json"), 0);
    assert_json();
    assert_output("\"is_alive\":false");
    assert_int_equal(RUN("requests"), 0);
    assert_output("torn");
    assert_output("101"); /* what could be had of it */
    assert_int_equal(RUN("requests", "--json"), 0);
    assert_json();
    assert_output("\"is_torn\":true");
    /* ages are as of the last sign of life, however long ago that was */
    assert_output("\"age_s\":4.0");
}

static void test_another_version(void **state)
{
    (void)state;
    owner.node->header.version = 77;
    owner.node->header.layout_hash++;
    assert_int_equal(RUN("status"), 0);
    assert_output("demo/model#0  backoff");
    assert_int_equal(RUN("layout"), 0);
    assert_output("layout version 77");
    assert_output("another than this program's");
    /* one that has no such section */
    for (uint32_t i = 0; i < owner.node->header.n_sections; i++)
        owner.node->section[i].name[0] = 'X';
    static const char *const commands[] = {"status",   "models",   "workers",
                                           "requests", "counters", "layout"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        assert_int_equal(RUN(commands[i]), 0);
    assert_int_equal(RUN("log"), 1);
    assert_output("describes no log");
}

/* ---- log ---- */

static void write_lines(uint32_t process, int n)
{
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    dup2(null, STDERR_FILENO);
    eventlog_install(&owner.node->log[process]);
    for (int i = 0; i < n; i++)
        log_event(LOG_LINK, LOG_WARNING, i == 0 ? 0xabc : 0, "process %u line %d", process, i);
    log_set_sink(NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(null);
}

static void test_log_is_merged(void **state)
{
    (void)state;
    write_lines(1, 2);
    write_lines(2, 300);
    write_lines(0, 1);
    assert_int_equal(RUN("log"), 0);
    const char *router = strstr(output, "process 1 line 1\n");
    const char *worker = strstr(output, "process 2 line 299\n");
    const char *supervisor = strstr(output, "process 0 line 0\n");
    assert_true(router != NULL && router < worker && worker < supervisor);
    assert_null(strstr(output, "process 2 line 44\n")); /* overwritten */
    assert_output("process 2 line 45\n");
    assert_output("demo/model#0  warning  link     -  ");
    assert_output("router        warning  link     0000000000000abc  process 1 line 0");

    assert_int_equal(RUN("log", "-n", "2"), 0);
    assert_ptr_equal(strstr(output, "\n"), strstr(output, "line 299\n") + 8);
    assert_output("process 0 line 0\n");
    assert_int_equal(RUN("log", "-n", "1", "--json"), 0);
    assert_json();
    assert_output("\"process\":\"supervisor\",\"level\":\"warning\",\"tag\":\"link\",\"request\":\""
                  "0000000000000abc\",\"text\":\"process 0 line 0\"}");
    assert_int_equal(RUN("log", "-n", "0"), 0);
    assert_string_equal(output, "");
}

/* Read the pipe until it has said this; the timeout of the test is the deadline. */
static void await_output(int fd, size_t *len, const char *part)
{
    output[*len] = '\0';
    while (strstr(output, part) == NULL) {
        ssize_t n = read(fd, output + *len, OUTPUT - 1 - *len);
        assert_true(n > 0);
        *len += (size_t)n;
        output[*len] = '\0';
    }
}

static void test_log_follows(void **state)
{
    size_t len = 0;
    int fd;
    struct err e;

    (void)state;
    write_lines(1, 30);
    pid_t pid = start((const char *const[ARGS_MAX]){"log", "-f"}, &fd);
    await_output(fd, &len, "process 1 line 29\n");
    assert_null(strstr(output, "line 9\n")); /* the last 20 */
    write_lines(0, 1);
    await_output(fd, &len, "process 0 line 0\n");
    write_lines(1, 1000); /* more than it can see at once: it says so, or saw them all */
    await_output(fd, &len, "process 1 line 999\n");
    /* killed and started again: another segment under the same name */
    node_close(&owner, 0);
    assert_int_equal(node_create(&owner, instance, 2, &e), 0);
    write_lines(3, 1);
    await_output(fd, &len, "process 3 line 0\n");
    close(fd);
    assert_int_equal(finish(pid), 0); /* nobody reads: it ends by itself */
}

/* ---- what is wrong ---- */

static void test_usage(void **state)
{
    (void)state;
    assert_int_equal(RUN(NULL), 2);
    assert_int_equal(RUN("stats"), 2);
    assert_output("did you mean status?");
    assert_int_equal(RUN("status", "extra"), 2);
    assert_int_equal(RUN("status", "-f"), 2);
    assert_int_equal(RUN("requests", "--built-in"), 2);
    assert_int_equal(RUN("log", "-n", "-1"), 2);
    assert_int_equal(RUN("log", "-n", "many"), 2);
    assert_int_equal(RUN("--nonsense"), 2);
    assert_int_equal(RUN("--help"), 0);
    assert_output("exit codes");
    assert_int_equal(RUN("--version"), 0);
    assert_output("cortexctl " CORTEX_VERSION "\n");
    assert_int_equal(RUN("--instance", "no such", "status"), 1);
    assert_output("instance name");
    assert_int_equal(RUN("--instance", "nobody.here", "status", "--json"), 1);
    assert_output("no instance \"nobody.here\"");
}

static void assert_printable(void)
{
    for (const char *p = output; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 && *p != '\n')
            fail_msg("byte %#x in:\n%s", (unsigned)(unsigned char)*p, output);
}

/* A writer that went mad: all records random, then the description too. */
static void test_garbage(void **state)
{
    static const char *const commands[] = {"status",   "workers", "requests",
                                           "counters", "log",     "layout"};
    const size_t records = offsetof(struct shm_node, process);
    const uint64_t seed = hash_random64();
    char *bytes = (char *)owner.node;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (size_t i = records; i < sizeof *owner.node; i += 8) {
        uint64_t word = hash_mix(seed, i);
        memcpy(bytes + i, &word, 8);
    }
    for (uint32_t i = 100; i < SHM_REQUESTS_MAX; i++) /* as many requests as can be checked soon */
        memset(&owner.node->request[i], 0, sizeof owner.node->request[i]);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        assert_int_equal(RUN(commands[i]), 0);
        assert_printable();
        assert_int_equal(RUN(commands[i], "--json"), 0);
        assert_json();
    }
    for (size_t i = sizeof(struct shm_header); i < records; i += 8) {
        uint64_t word = hash_mix(seed, i) % 512;
        if (hash_mix(seed, i + 1) % 50 == 0)
            memcpy(bytes + i, &word, 8);
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        assert_in_range(RUN(commands[i]), 0, 1);
    owner.node->header.n_sections = UINT32_MAX;
    assert_int_equal(RUN("status"), 1);
    assert_output("its description does not lie inside");
    owner.node->header.magic = 0;
    assert_int_equal(RUN("status"), 1);
    assert_output("not a Cortex segment");
}

int main(void)
{
#define WITH_INSTANCE(test) cmocka_unit_test_setup_teardown(test, make_instance, remove_instance)
    const struct CMUnitTest tests[] = {
        WITH_INSTANCE(test_status),        WITH_INSTANCE(test_workers_and_requests),
        WITH_INSTANCE(test_loading),       WITH_INSTANCE(test_weights),
        WITH_INSTANCE(test_failed_model),  WITH_INSTANCE(test_counters),
        WITH_INSTANCE(test_reference),     WITH_INSTANCE(test_layout),
        WITH_INSTANCE(test_post_mortem),   WITH_INSTANCE(test_another_version),
        WITH_INSTANCE(test_log_is_merged), WITH_INSTANCE(test_log_follows),
        WITH_INSTANCE(test_usage),         WITH_INSTANCE(test_garbage),
    };
    output = malloc(OUTPUT);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    free(output);
    return rc;
}
