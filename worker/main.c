/* cortex-worker: one model on one device, in a process that may die at any moment; or a question
 * that needs a model's files and no node. */
#include "base/clock.h"
#include "base/log.h"
#include "worker/engine/llm.h"
#include "worker/loop.h"
#include "worker/sim/sim.h"
#include "worker/tokenize_command.h"

#include <string.h>

static struct worker worker;
static struct sim sim;
static struct llm llm;

static int run_simulated(struct heritage *h)
{
    struct err e = {0};
    struct control_msg hello = heritage_hello(h);

    if (sim_init(&sim, h->model, h->spawns, &worker.link.ring, &e) != 0)
        return heritage_refuse(h, e.text);
    worker.is_deaf = sim_is_deaf(&sim);
    if (sim_spoil_hello(&sim, h->control, &hello) && heritage_introduce(h, &hello, &e) != 0) {
        log_error(LOG_SYSTEM, "%s", e.text);
        return EXIT_TEMPORARY;
    }
    sim_start(&sim);
    int code = worker_run(&worker, h, &sim.engine);
    sim_free(&sim);
    return code;
}

static int run_model(struct heritage *h)
{
    struct err e = {0};
    struct control_msg hello = heritage_hello(h);

    if (heritage_introduce(h, &hello, &e) != 0 || llm_init(&llm, h, &e) != 0) {
        log_error(LOG_SYSTEM, "%s", e.text);
        return EXIT_TEMPORARY;
    }
    int code = worker_run(&worker, h, &llm.engine);
    llm_free(&llm);
    return code;
}

int main(int argc, char **argv)
{
    struct heritage heritage = {.control = CHILD_FD_CONTROL};
    struct worker_args args;
    struct err e = {0};
    int code;

    if (argc > 1 && strcmp(argv[1], "--tokenize") == 0)
        return tokenize_command(argc - 2, argv + 2);
    log_init("worker", "auto", "info");
    if (worker_args_parse(&args, argc, argv, &e) != 0) {
        log_error(LOG_SYSTEM, "%s", e.text);
        return EXIT_PERMANENT;
    }
    if (heritage_open(&heritage, &args, &e) != 0)
        code = heritage_refuse(&heritage, e.text);
    else if (args.is_simulated)
        code = run_simulated(&heritage);
    else
        code = run_model(&heritage);
    heritage_close(&heritage);
    return code;
}
