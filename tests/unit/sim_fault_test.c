#include "worker/sim/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text;
    struct fault expected;
} good[] = {
    {"segv@token:100", {FAULT_SEGV, WHEN_TOKEN, false, 100, 0, ""}},
    {"segv@start", {FAULT_SEGV, WHEN_START, false, 0, 0, ""}},
    {"abort@load@once", {FAULT_ABORT, WHEN_LOAD, true, 0, 0, ""}},
    {"check@once@request:3", {FAULT_CHECK, WHEN_REQUEST, true, 3, 0, ""}},
    {"kill@token:1", {FAULT_KILL, WHEN_TOKEN, false, 1, 0, ""}},
    {"stop@token:7", {FAULT_STOP, WHEN_TOKEN, false, 7, 0, ""}},
    {"spin@prompt:loop", {FAULT_SPIN, WHEN_PROMPT, false, 0, 0, "loop"}},
    {"spin@prompt:\"two words, @home\"@once",
     {FAULT_SPIN, WHEN_PROMPT, true, 0, 0, "two words, @home"}},
    {"exit:111@token:5", {FAULT_EXIT, WHEN_TOKEN, false, 5, 111, ""}},
    {"exit:0@start", {FAULT_EXIT, WHEN_START, false, 0, 0, ""}},
    {"garbage@token:9", {FAULT_GARBAGE, WHEN_TOKEN, false, 9, GARBAGE_ANY, ""}},
    {"garbage:utf8@token:9", {FAULT_GARBAGE, WHEN_TOKEN, false, 9, GARBAGE_UTF8, ""}},
    {"marker:POISON", {FAULT_SEGV, WHEN_PROMPT, false, 0, 0, "POISON"}},
    {"marker:\"bad word\"@once", {FAULT_SEGV, WHEN_PROMPT, true, 0, 0, "bad word"}},
    {"refuse:\"not enough memory\"", {FAULT_REFUSE, WHEN_NEVER, false, 0, 0, "not enough memory"}},
    {"bad-hello", {FAULT_BAD_HELLO, WHEN_NEVER, false, 0, LIE_EPOCH, ""}},
    {"bad-hello:hash@once", {FAULT_BAD_HELLO, WHEN_NEVER, true, 0, LIE_HASH, ""}},
    {"no-hello", {FAULT_NO_HELLO, WHEN_NEVER, false, 0, 0, ""}},
    {"no-ready", {FAULT_NO_READY, WHEN_NEVER, false, 0, 0, ""}},
    {"load-stall", {FAULT_LOAD_STALL, WHEN_NEVER, false, 0, 0, ""}},
    {"ignore-term", {FAULT_IGNORE_TERM, WHEN_NEVER, false, 0, 0, ""}},
};

static void one_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct fault_plan plan;
        struct err e = {0};
        if (fault_plan_parse(&plan, good[i].text, &e) != 0)
            fail_msg("%s: %s", good[i].text, e.text);
        assert_int_equal(plan.n, 1);
        const struct fault *f = &plan.fault[0], *x = &good[i].expected;
        if (f->kind != x->kind || f->when != x->when || f->is_once != x->is_once || f->n != x->n ||
            f->argument != x->argument || strcmp(f->text, x->text) != 0)
            fail_msg("%s: read differently", good[i].text);
        assert_int_equal(plan.has_prompt, x->when == WHEN_PROMPT);
    }
}

static const struct {
    const char *text, *says;
} bad[] = {
    {"sevg@token:1", "did you mean segv?"},
    {"bang", "\"bang\": not known"},
    {"segv", "needs @start"},
    {"segv@token", "needs @token:N"},
    {"segv@token:0", "number from 1"},
    {"segv@token:x", "number from 1"},
    {"segv@token:-1", "number from 1"},
    {"segv@token:99999999999999999999", "number from 1"},
    {"segv@tokens:5", "did you mean token?"},
    {"segv@token:5@load", "two moments"},
    {"segv@token:5extra", "number from 1"},
    {"segv:3@token:5", "takes no argument"},
    {"segv@start:3", "not understood"},
    {"exit@token:5", "needs exit:CODE"},
    {"exit:256@token:5", "number from 0 to 255"},
    {"garbage:smelly@token:5", "not known"},
    {"garbage@start", "no ring yet"},
    {"refuse", "needs refuse:TEXT"},
    {"refuse:", "text of 0 bytes"},
    {"refuse:\"open", "no closing quote"},
    {"marker:X@token:4", "takes no moment"},
    {"no-hello@start", "takes no moment"},
    {"bad-hello:size", "not known"},
    {"segv@token:1 bang", "\"bang\": not known"},
    {"@token:1", "not known"},
};

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fault_plan plan;
        struct err e = {0};
        assert_int_equal(fault_plan_parse(&plan, bad[i].text, &e), -EINVAL);
        if (strstr(e.text, bad[i].says) == NULL)
            fail_msg("%s: says \"%s\", expected \"%s\"", bad[i].text, e.text, bad[i].says);
    }
}

static void several(void **state)
{
    struct fault_plan plan;
    struct err e = {0};
    char text[512] = "";

    (void)state;
    assert_int_equal(
        fault_plan_parse(&plan, " no-ready,segv@token:3@once  kill@token:5;marker:A B ", &e),
        -EINVAL);
    assert_int_equal(
        fault_plan_parse(&plan, " no-ready,segv@token:3@once  kill@token:5;marker:A ", &e), 0);
    assert_int_equal(plan.n, 4);
    assert_true(fault_plan_needs_spawns(&plan));
    assert_ptr_equal(fault_at(&plan, WHEN_TOKEN, 3), &plan.fault[1]);
    assert_ptr_equal(fault_at(&plan, WHEN_TOKEN, 5), &plan.fault[2]);
    assert_null(fault_at(&plan, WHEN_TOKEN, 4));
    assert_null(fault_at(&plan, WHEN_START, 0));
    assert_ptr_equal(fault_find(&plan, FAULT_NO_READY), &plan.fault[0]);
    assert_ptr_equal(fault_in_text(&plan, "xxAxx", 5), &plan.fault[3]);
    assert_null(fault_in_text(&plan, "xxAxx", 2));

    fault_plan_drop_once(&plan);
    assert_int_equal(plan.n, 3);
    assert_false(fault_plan_needs_spawns(&plan));
    assert_null(fault_at(&plan, WHEN_TOKEN, 3));
    assert_non_null(fault_at(&plan, WHEN_TOKEN, 5));

    assert_int_equal(fault_plan_parse(&plan, "", &e), 0);
    assert_int_equal(plan.n, 0);
    for (int i = 0; i < FAULTS_MAX; i++)
        strcat(text, "no-ready ");
    assert_int_equal(fault_plan_parse(&plan, text, &e), 0);
    strcat(text, "no-ready ");
    assert_int_equal(fault_plan_parse(&plan, text, &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_fault),
        cmocka_unit_test(refused),
        cmocka_unit_test(several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
