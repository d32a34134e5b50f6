/* Status codes and the thread's error sentence.
 *
 * Every function that can fail returns tn_status. TN_OK is 0; anything else is a failure, and then
 * tn_last_error() holds a sentence that names the file, node and operator, what was expected, what was
 * found, and what to do. The codes' numbers are pinned for ever; new ones are added at the end.
 *
 * Thread-safety: the sentence belongs to the calling thread. A successful call leaves it as it was. */
#ifndef TENON_STATUS_H
#define TENON_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TN_BUILD_SHARED) && defined(__GNUC__)
#define TN_API __attribute__((visibility("default")))
#else
#define TN_API
#endif

/* X(name, number, text) */
#define TN_STATUS_MAP(X)                                                                                               \
    X(TN_OK, 0, "success")                                                                                             \
    X(TN_E_INVALID, 1, "invalid argument")                                                                             \
    X(TN_E_MEMORY, 2, "out of memory")                                                                                 \
    X(TN_E_IO, 3, "input or output failed")                                                                            \
    X(TN_E_FORMAT, 4, "malformed file")                                                                                \
    X(TN_E_UNSUPPORTED, 5, "not supported")                                                                            \
    X(TN_E_TYPE, 6, "wrong data type")                                                                                 \
    X(TN_E_SHAPE, 7, "wrong shape")                                                                                    \
    X(TN_E_NOT_FOUND, 8, "not found")                                                                                  \
    X(TN_E_LIMIT, 9, "limit exceeded")                                                                                 \
    X(TN_E_STATE, 10, "call not allowed in this state")                                                                \
    X(TN_E_INTERRUPTED, 11, "interrupted")                                                                             \
    X(TN_E_INTERNAL, 12, "internal error")                                                                             \
    X(TN_E_CHECK, 13, "a check failed")

typedef enum tn_status {
#define TN_X(name, number, text) name = number,
    TN_STATUS_MAP(TN_X)
#undef TN_X
} tn_status;

/* The short text of a code ("wrong shape"); never NULL, also for unknown numbers. */
TN_API const char *tn_status_text(tn_status status);

/* This thread's sentence about its last failure; "" before the first one. Valid until the thread's next failure. */
TN_API const char *tn_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
