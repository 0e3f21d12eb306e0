/* The library as a worker meets it: dlopen, the table, arguments refused without a device, a
 * sentence where there is no driver. */
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the four above, which it needs */
#include <cmocka.h>

#include "kernels/kern_cuda.h"

static const struct kern_cuda_api *api;

static int load(void **unused)
{
    void *library = dlopen(CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);

    (void)unused;
    if (library == NULL)
        print_error("%s\n", dlerror());
    assert_non_null(library);
    api = dlsym(library, "kern_cuda_api");
    assert_non_null(api);
    return 0;
}

static void table_is_of_this_tree(void **unused)
{
    (void)unused;
    assert_int_equal(api->abi, KERN_CUDA_ABI);
    assert_int_equal(api->bytes, sizeof *api);
#define X(op, params) \
    assert_int_equal(api->sizes.op, sizeof(struct params)); \
    assert_non_null((void *)(uintptr_t)api->ops.op);
    KERN_CUDA_OPS(X)
#undef X
    assert_non_null(strstr(api->targets, "sm_"));
}

static void arguments_come_before_the_device(void **unused)
{
    (void)unused;
#define X(op, params) \
    { \
        static const struct params nothing; \
        assert_int_equal(api->ops.op(NULL, NULL, NULL), -EINVAL); \
        assert_int_equal(api->ops.op(NULL, NULL, &nothing), -EINVAL); \
    }
    KERN_CUDA_OPS(X)
#undef X
}

static void open_says_what_is_missing(void **unused)
{
    struct kern_cuda *c = (struct kern_cuda *)&api;
    char why[KERN_CUDA_WHY] = "";
    int rc = api->open(&c, 9999, why); /* more than any machine has */

    (void)unused;
    assert_int_equal(rc, -ENODEV);
    assert_null(c);
    if (strstr(why, "no such device") == NULL && strstr(why, "driver") == NULL)
        fail_msg("neither a driver nor a device is named in: %s", why);
    rc = api->open(&c, 0, why);
    if (rc == 0) { /* a machine with a GPU */
        assert_true(api->device(c)->sms > 0);
        api->close(&c);
    } else if (rc == -ENODEV && strstr(why, "driver") == NULL) {
        fail_msg("no device, and no word of the driver: %s", why);
    }
    assert_null(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_of_this_tree),
        cmocka_unit_test(arguments_come_before_the_device),
        cmocka_unit_test(open_says_what_is_missing),
    };

    return cmocka_run_group_tests_name("cuda_open", tests, load, NULL);
}
