/* cuda_check -- the CUDA operations against their reference.
 *
 *   cuda_check [SEED]            on the emulator, when linked with it; with a seed, the threads of
 *                                a block in a shuffled order
 *   cuda_check LIBRARY [DEVICE]  on a device, through libcortex-kernels-cuda.so
 *
 * Exit code 0, 1 when a check failed, 77 without a device.  Outputs are poisoned before each call;
 * errors are ||out - reference|| / ||reference||.  The last line is a hash of all that was fetched:
 * on the emulator it does not depend on the seed unless threads race. */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_util.h"

#ifdef CUDA_EMULATED
void kern_emulator_shuffle(uint64_t seed);

static const struct kern_cuda_api *find_api(int argc, char **argv)
{
    if (argc == 2)
        kern_emulator_shuffle(strtoull(argv[1], NULL, 10));
    return argc <= 2 ? &kern_cuda_api : NULL;
}
#else
static const struct kern_cuda_api *find_api(int argc, char **argv)
{
    void *library = argc >= 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;

    if (argc < 2)
        return NULL;
    if (library == NULL) {
        fprintf(stderr, "cuda_check: %s\n", dlerror());
        exit(1);
    }
    return dlsym(library, "kern_cuda_api");
}
#endif

int main(int argc, char **argv)
{
    int ordinal = argc >= 3 ? atoi(argv[2]) : 0;
    char why[KERN_CUDA_WHY];

    device.api = find_api(argc, argv);
    if (device.api == NULL || device.api->abi != KERN_CUDA_ABI ||
        device.api->bytes != sizeof *device.api) {
        fprintf(stderr, "usage: cuda_check [LIBRARY [DEVICE]], built from the same tree\n");
        return 100;
    }
    int rc = device.api->open(&device.c, ordinal, why);
    if (rc == -ENODEV) {
        printf("skipped: %s\n", why);
        return 77;
    }
    if (rc != 0) {
        fprintf(stderr, "cuda_check: %s\n", why);
        return 1;
    }
    must(device.api->stream_open(device.c, &device.stream), "stream");
    printf("%s, built for %s\n", device.api->device(device.c)->name, device.api->targets);
    check_reference();
    check_refusals();
    check_conv1d();
    check_step();
    check_drafts();
    check_rows();
    check_chunk();
    device.api->stream_close(device.c, device.stream);
    device.api->close(&device.c);
    printf("%d failed\nhash %016llx\n", failures(), (unsigned long long)fetched_hash());
    return failures() == 0 ? 0 : 1;
}
