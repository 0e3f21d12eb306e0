#include "kernels/ref/ref.h"

const struct kern_ops *kern_ref(void)
{
    static const struct kern_ops ops = {
        .name = "ref",
#define X(op, params) .op = ref_##op,
        KERN_OPS(X)
#undef X
    };

    return &ops;
}
