// api.cu -- the table that the library exports, and the device's memory and streams.

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include <new>

#include "kernels/cuda/host.cuh"

#ifndef KERN_CUDA_TARGETS
#error "the build says which targets it compiles: -DKERN_CUDA_TARGETS=..."
#endif

int note_error(kern_cuda *c, int error, const char *what)
{
    cudaError_t e = static_cast<cudaError_t>(error);

    if (e == cudaSuccess)
        return 0;
    cudaGetLastError(); // one that is not sticky is taken back
    snprintf(c->why, sizeof c->why, "%s: CUDA error %d, %s: %s", what, error, cudaGetErrorName(e),
             cudaGetErrorString(e));
    return -EIO;
}

namespace
{

// Asked for its attributes, says whether there is code for a device.
__global__ void probe_kernel()
{
}

int refuse(char *why, int code, const char *format, const char *a, int b)
{
    snprintf(why, KERN_CUDA_WHY, format, a, b);
    return -code;
}

int describe_device(kern_cuda_device *d, int ordinal, char *why)
{
    cudaDeviceProp p;
    cudaError_t e = cudaGetDeviceProperties(&p, ordinal);

    if (e != cudaSuccess)
        return refuse(why, ENODEV, "cuda: %s of device %d", cudaGetErrorString(e), ordinal);
    snprintf(d->name, sizeof d->name, "%s", p.name);
    d->major = p.major;
    d->minor = p.minor;
    d->sms = p.multiProcessorCount;
    d->memory_bytes = p.totalGlobalMem;
    d->shared_bytes = p.sharedMemPerBlockOptin;
    return 0;
}

// Code for the device is there when a kernel of the library has attributes on it.
int check_code(const kern_cuda_device *d, char *why)
{
    cudaFuncAttributes attributes;

    if (cudaFuncGetAttributes(&attributes, probe_kernel) == cudaSuccess)
        return 0;
    cudaGetLastError();
    snprintf(why, KERN_CUDA_WHY,
             "cuda: %s has compute capability %d.%d, and the library was built for %s; build it "
             "with CORTEX_CUDA_TARGETS=%d%d",
             d->name, d->major, d->minor, KERN_CUDA_TARGETS, d->major, d->minor);
    return -ENOTSUP;
}

int open_device(kern_cuda **out, int ordinal, char why[KERN_CUDA_WHY])
{
    int count = 0;
    cudaError_t e = cudaGetDeviceCount(&count);

    *out = nullptr;
    if (e == cudaErrorInsufficientDriver)
        return refuse(why, ENODEV,
                      "cuda: no driver for CUDA %s.%d or newer on this machine; install NVIDIA's "
                      "driver, or use the device cpu",
                      "13", 0);
    if (e == cudaErrorNoDevice || (e == cudaSuccess && count == 0))
        return refuse(why, ENODEV, "cuda: the driver finds no device%s", "", 0);
    if (e != cudaSuccess)
        return refuse(why, ENODEV, "cuda: the driver does not start: %s (error %d)",
                      cudaGetErrorString(e), e);
    if (ordinal < 0 || ordinal >= count)
        return refuse(why, ENODEV, "cuda: no such device%s; %d are there, counted from 0", "",
                      count);
    kern_cuda *c = new (std::nothrow) kern_cuda();
    if (c == nullptr)
        return refuse(why, ENOMEM, "cuda: no memory%s", "", 0);
    int rc = describe_device(&c->device, ordinal, why);
    if (rc == 0 && (e = cudaSetDevice(ordinal)) != cudaSuccess)
        rc = refuse(why, EIO, "cuda: %s at the start of device %d", cudaGetErrorString(e), ordinal);
    if (rc == 0)
        rc = check_code(&c->device, why);
    if (rc == 0)
        *out = c;
    else
        delete c;
    return rc;
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

int alloc_bytes(kern_cuda *c, void **out, size_t bytes)
{
    cudaError_t e = cudaMalloc(out, bytes);
    int rc = note_error(c, e, "cudaMalloc");

    return e == cudaErrorMemoryAllocation ? -ENOMEM : rc;
}

void release_bytes(kern_cuda *c, void *p)
{
    note_error(c, cudaFree(p), "cudaFree");
}

int open_stream(kern_cuda *c, void **out)
{
    return note_error(c, cudaStreamCreateWithFlags((cudaStream_t *)out, cudaStreamNonBlocking),
                      "cudaStreamCreate");
}

void close_stream(kern_cuda *c, void *stream)
{
    note_error(c, cudaStreamDestroy((cudaStream_t)stream), "cudaStreamDestroy");
}

int upload(kern_cuda *c, void *stream, void *to, const void *from, size_t bytes)
{
    return note_error(
        c, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, (cudaStream_t)stream),
        "upload");
}

int download(kern_cuda *c, void *stream, void *to, const void *from, size_t bytes)
{
    return note_error(
        c, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, (cudaStream_t)stream),
        "download");
}

int clear(kern_cuda *c, void *stream, void *to, int byte, size_t bytes)
{
    return note_error(c, cudaMemsetAsync(to, byte, bytes, (cudaStream_t)stream), "clear");
}

int sync_stream(kern_cuda *c, void *stream)
{
    return note_error(c, cudaStreamSynchronize((cudaStream_t)stream), "sync");
}

} // namespace

extern "C" __attribute__((visibility("default"))) const struct kern_cuda_api kern_cuda_api = {
    KERN_CUDA_ABI,
    sizeof(struct kern_cuda_api),
    KERN_CUDA_TARGETS,
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
    upload,
    download,
    clear,
    sync_stream,
    {
#define X(op, params) cuda_##op,
        KERN_CUDA_OPS(X)
#undef X
    },
};
