#include "kernels/cpu/cpu.h"

#define STRING2(x) #x
#define STRING(x)  STRING2(x)

extern const struct kern_ops FN(ops);

const struct kern_ops FN(ops) = {
    .name = STRING(KERN_ISA),
#define X(op, params) .op = FN(op),
    KERN_OPS(X)
#undef X
};
