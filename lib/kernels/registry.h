/* The build's list of kernel files, lowest level first; ends with a NULL overlay. */
#ifndef TN_KERNELS_REGISTRY_H
#define TN_KERNELS_REGISTRY_H

#include "kernels/kernels.h"

typedef struct tn_kernel_file {
    tn_cpu_level level;
    void (*overlay)(tn_kernels *table);
} tn_kernel_file;

extern const tn_kernel_file tn_kernel_files[];

#endif
