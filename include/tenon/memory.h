/* Memory: the allocator that a host may supply.
 *
 * An allocator is two functions and a context. The library calls it only while it creates, prepares and
 * destroys things; tn_session_run on a prepared static shape never does. */
#ifndef TENON_MEMORY_H
#define TENON_MEMORY_H

#include <stddef.h>
#include <tenon/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_allocator {
    size_t struct_size; /* sizeof(tn_allocator), so that the struct can grow */
    void *context;
    /* Returns `size` bytes aligned to `alignment` (a power of two, at most 4096), or NULL. Must be callable from
     * any thread that uses the objects made with it. */
    void *(*alloc)(void *context, size_t size, size_t alignment);
    /* Frees what alloc returned; `size` is the size that was asked for. Never called with NULL. */
    void (*free)(void *context, void *pointer, size_t size);
} tn_allocator;

/* The process-wide default: aligned_alloc and free. */
TN_API const tn_allocator *tn_allocator_default(void);

#ifdef __cplusplus
}
#endif
#endif
