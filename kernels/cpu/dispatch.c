/* Which of the compiled implementations this machine can run. */
#include "kernels/kern.h"

#if defined(__x86_64__)
extern const struct kern_ops plain_ops, avx2_ops, avx512_ops, avx512_bf16_ops;

/* The builtin asks CPUID, and the operating system for the registers (XGETBV). */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const struct kern_ops *kern_cpu(enum kern_isa isa)
{
    if (isa == KERN_PLAIN)
        return &plain_ops;
    if (isa == KERN_AVX2)
        return has_avx2() ? &avx2_ops : NULL;
    if (isa == KERN_AVX512)
        return has_avx512() ? &avx512_ops : NULL;
    if (isa == KERN_AVX512_BF16)
        return has_avx512() && __builtin_cpu_supports("avx512bf16") ? &avx512_bf16_ops : NULL;
    return NULL;
}
#elif defined(__aarch64__)
extern const struct kern_ops neon_ops;

const struct kern_ops *kern_cpu(enum kern_isa isa)
{
    return isa == KERN_NEON ? &neon_ops : NULL;
}
#else
extern const struct kern_ops plain_ops;

const struct kern_ops *kern_cpu(enum kern_isa isa)
{
    return isa == KERN_PLAIN ? &plain_ops : NULL;
}
#endif

const struct kern_ops *kern_cpu_best(void)
{
    const struct kern_ops *best = NULL;

    for (enum kern_isa isa = KERN_PLAIN; isa < KERN_ISAS; isa++)
        if (kern_cpu(isa) != NULL)
            best = kern_cpu(isa);
    return best;
}
