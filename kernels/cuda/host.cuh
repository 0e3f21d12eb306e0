// host.cuh -- the host's side of an operation: the device it runs on, and launching.

#ifndef KERNELS_CUDA_HOST_CUH
#define KERNELS_CUDA_HOST_CUH

#include <errno.h>
#include <stdint.h>

#include "kernels/kern_cuda.h"

#ifdef __CUDACC__
#include <cuda_runtime_api.h>
#else
#include "kernels/cuda/emulator/emulator.cuh"
#endif

struct kern_cuda {
    kern_cuda_device device;
    char why[KERN_CUDA_WHY];
};

extern "C" {
#define X(op, params) int cuda_##op(kern_cuda *c, void *stream, const params *p);
KERN_CUDA_OPS(X)
#undef X
}

struct Shape {
    int x, y, z; // blocks
    int threads; // of a block
    size_t shared_bytes;
    int cluster = 1; // blocks along x
};

// Notes what CUDA said: 0, or -EIO with the sentence in c->why.
int note_error(kern_cuda *c, int error, const char *what);

#ifdef __CUDACC__
template <class... P, class... A>
int launch(kern_cuda *c, void *stream, const char *name, void (*kernel)(P...), const Shape &shape,
           A &&...arguments)
{
    constexpr size_t kAlwaysThere = 48 * 1024;
    cudaLaunchAttribute cluster = {};
    cudaLaunchConfig_t config = {};

    if (shape.shared_bytes > kAlwaysThere) {
        int rc = note_error(c,
                            cudaFuncSetAttribute((const void *)kernel,
                                                 cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 (int)shape.shared_bytes),
                            name);
        if (rc != 0)
            return rc;
    }
    config.gridDim = dim3((unsigned)shape.x, (unsigned)shape.y, (unsigned)shape.z);
    config.blockDim = dim3((unsigned)shape.threads);
    config.dynamicSmemBytes = shape.shared_bytes;
    config.stream = (cudaStream_t)stream;
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = (unsigned)shape.cluster;
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    config.attrs = &cluster;
    config.numAttrs = shape.cluster > 1 ? 1 : 0;
    return note_error(c, cudaLaunchKernelEx(&config, kernel, arguments...), name);
}
#else
template <class... P, class... A>
int launch(kern_cuda *, void *, const char *, void (*kernel)(P...), const Shape &shape,
           A &&...arguments)
{
    emulator::Grid grid = {{(unsigned)shape.x, (unsigned)shape.y, (unsigned)shape.z},
                           (unsigned)shape.threads,
                           (unsigned)shape.shared_bytes,
                           (unsigned)shape.cluster};

    emulator::run(grid, [&] { kernel(arguments...); });
    return 0;
}
#endif

// Pieces of all spans of a batch whose chunks are numbered.
static inline int count_pieces(const kern_cuda_spans &spans)
{
    const kern_cuda_span &last = spans.host[spans.count - 1];

    return last.chunk + (last.pos + last.rows - 1) / KERN_CHUNK - last.pos / KERN_CHUNK + 1;
}

static inline bool is_vector_aligned(const void *p)
{
    return (uintptr_t)p % KERN_CUDA_VECTOR == 0;
}

// T and P of every piece and value head into p->work (gdn_prepare.cu); the states between segments
// (gdn_join.cu).  Here p->segments is at least 1.
int launch_gdn_prepare(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p);
int launch_gdn_join(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p);

// y = RMSNorm(y) * w * SiLU(z), in place (gdn_norm.cu).
int launch_gdn_norm(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p);

#endif
