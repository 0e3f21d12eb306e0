/* The groups of checks of cuda_check. */
#ifndef TESTS_KERNELS_CUDA_CASES_H
#define TESTS_KERNELS_CUDA_CASES_H

void check_reference(void);
void check_refusals(void);
void check_conv1d(void);
void check_step(void);
void check_drafts(void);
void check_rows(void);
void check_chunk(void);

#endif
