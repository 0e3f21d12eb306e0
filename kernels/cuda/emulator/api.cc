// api.cc -- the library's table over the emulator: memory is the host's, a stream nothing.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/host.cuh"

int note_error(kern_cuda *, int error, const char *)
{
    return error == 0 ? 0 : -EIO;
}

namespace
{

// What launches decide by: of an H200, so that clusters and stages are those of the real one.
int open_device(kern_cuda **out, int ordinal, char why[KERN_CUDA_WHY])
{
    *out = nullptr;
    if (ordinal != 0) {
        snprintf(why, KERN_CUDA_WHY, "emulator: no such device; 1 is there, counted from 0");
        return -ENODEV;
    }
    *out = new kern_cuda{{"emulator", 9, 0, 132, (size_t)1 << 30, 227 * 1024}, ""};
    return 0;
}

void close_device(kern_cuda **c)
{
    delete *c;
    *c = nullptr;
}

const kern_cuda_device *describe(const kern_cuda *c)
{
    return &c->device;
}

const char *last_why(const kern_cuda *c)
{
    return c->why;
}

int alloc_bytes(kern_cuda *, void **out, size_t bytes)
{
    *out = aligned_alloc(256, (bytes + 255) / 256 * 256);
    return *out == nullptr ? -ENOMEM : 0;
}

void release_bytes(kern_cuda *, void *p)
{
    free(p);
}

int open_stream(kern_cuda *, void **out)
{
    *out = nullptr;
    return 0;
}

void close_stream(kern_cuda *, void *)
{
}

int copy(kern_cuda *, void *, void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
    return 0;
}

int clear(kern_cuda *, void *, void *to, int byte, size_t bytes)
{
    memset(to, byte, bytes);
    return 0;
}

int sync_stream(kern_cuda *, void *)
{
    return 0;
}

} // namespace

// The threads of later blocks run in an order drawn from the seed.
extern "C" void kern_emulator_shuffle(uint64_t seed)
{
    emulator::set_order(emulator::SHUFFLED, seed);
}

extern "C" const struct kern_cuda_api kern_cuda_api = {
    KERN_CUDA_ABI,
    sizeof(struct kern_cuda_api),
    "emulator",
    {
#define X(op, params) sizeof(struct params),
        KERN_CUDA_OPS(X)
#undef X
    },
    open_device,
    close_device,
    describe,
    last_why,
    alloc_bytes,
    release_bytes,
    open_stream,
    close_stream,
    copy,
    copy,
    clear,
    sync_stream,
    {
#define X(op, params) cuda_##op,
        KERN_CUDA_OPS(X)
#undef X
    },
};
