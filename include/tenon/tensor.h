/* Tensors: typed, n-dimensional arrays; owners of memory or views on it.
 *
 * Shapes are lists of dims, outermost first. Strides are counted in elements, may be 0 (broadcast) or negative.
 * A tensor made by tn_tensor_create owns its memory; tn_tensor_wrap borrows the host's (which must outlive it);
 * tn_tensor_view shares memory with its parent, which stays alive until the last view is destroyed.
 *
 * Thread-safety: a tensor may be read by many threads; writing its data needs the host's own exclusion.
 * Reference counts are atomic, so views may be destroyed on any thread. */
#ifndef TENON_TENSOR_H
#define TENON_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tenon/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TN_MAX_RANK 8

/* Numbers are those of ONNX's TensorProto.DataType, so that nothing is translated. */
typedef enum tn_dtype {
    TN_UNDEFINED = 0,
    TN_FLOAT32 = 1,
    TN_UINT8 = 2,
    TN_INT8 = 3,
    TN_UINT16 = 4,
    TN_INT16 = 5,
    TN_INT32 = 6,
    TN_INT64 = 7,
    TN_STRING = 8, /* elements are tn_string */
    TN_BOOL = 9,   /* one byte, 0 or 1 */
    TN_FLOAT16 = 10,
    TN_FLOAT64 = 11,
    TN_UINT32 = 12,
    TN_UINT64 = 13,
    TN_COMPLEX64 = 14,  /* two float32: storage, and the signal operators */
    TN_COMPLEX128 = 15, /* storage only */
    TN_BFLOAT16 = 16,
    TN_FLOAT8E4M3FN = 17,
    TN_FLOAT8E4M3FNUZ = 18,
    TN_FLOAT8E5M2 = 19,
    TN_FLOAT8E5M2FNUZ = 20,
    TN_UINT4 = 21, /* two elements a byte, the first in the low nibble; dense only */
    TN_INT4 = 22,
    TN_FLOAT4E2M1 = 23,
    TN_FLOAT8E8M0 = 24,
    TN_UINT2 = 25, /* four elements a byte */
    TN_INT2 = 26,
} tn_dtype;

/* A string element: `size` bytes, not zero-terminated; borrowed from the tensor that holds it. */
typedef struct tn_string {
    const char *data;
    size_t size;
} tn_string;

typedef struct tn_tensor tn_tensor;

/* "float32", "int8", ...; "undefined" for unknown numbers. */
TN_API const char *tn_dtype_name(tn_dtype dtype);
/* The dtype of such a name, or TN_UNDEFINED. */
TN_API tn_dtype tn_dtype_from_name(const char *name);
/* Bits an element takes in memory: 32, 8, 4...; a string element is a tn_string. 0 for unknown numbers. */
TN_API size_t tn_dtype_bits(tn_dtype dtype);
/* Bytes that `count` dense elements take, 4-bit and 2-bit ones packed; SIZE_MAX if that overflows. */
TN_API size_t tn_dtype_bytes(tn_dtype dtype, int64_t count);

/* A new tensor of zeros, dense, aligned to 64 bytes. allocator NULL means the default one. */
TN_API tn_status tn_tensor_create(tn_dtype dtype, int rank, const int64_t *dims, const tn_allocator *allocator,
                                  tn_tensor **out_tensor);
/* A tensor on the host's memory, dense if strides is NULL. `bytes` is how much is there; refused if too little. */
TN_API tn_status tn_tensor_wrap(tn_dtype dtype, int rank, const int64_t *dims, const int64_t *strides, void *data,
                                size_t bytes, tn_tensor **out_tensor);
/* Another handle on the same memory with another shape: dims and strides in elements, offset from the parent's
 * first element. Must stay inside the parent's memory. */
TN_API tn_status tn_tensor_view(tn_tensor *parent, int rank, const int64_t *dims, const int64_t *strides,
                                int64_t offset, tn_tensor **out_tensor);
/* Copies elements between tensors of equal dtype and shape (strides may differ); src dims broadcast to dst's. */
TN_API tn_status tn_tensor_copy(tn_tensor *dst, const tn_tensor *src);
/* A dense deep copy. */
TN_API tn_status tn_tensor_clone(const tn_tensor *tensor, const tn_allocator *allocator, tn_tensor **out_tensor);
/* Drops the handle; the memory goes with its last handle. Accepts NULL. */
TN_API void tn_tensor_destroy(tn_tensor *tensor);

TN_API tn_dtype tn_tensor_dtype(const tn_tensor *tensor);
TN_API int tn_tensor_rank(const tn_tensor *tensor);
/* `rank` dims; valid as long as the tensor (for a session's tensors: until its shapes change). */
TN_API const int64_t *tn_tensor_dims(const tn_tensor *tensor);
TN_API const int64_t *tn_tensor_strides(const tn_tensor *tensor);
TN_API int64_t tn_tensor_count(const tn_tensor *tensor); /* elements; 1 for a scalar */
TN_API size_t tn_tensor_bytes(const tn_tensor *tensor);  /* of a dense copy */
TN_API bool tn_tensor_is_dense(const tn_tensor *tensor);
TN_API void *tn_tensor_data(tn_tensor *tensor);
TN_API const void *tn_tensor_const_data(const tn_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
