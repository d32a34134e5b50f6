/* A run of a model of one input and output. */
#ifndef TESTS_UNIT_RUN_MODEL_H
#define TESTS_UNIT_RUN_MODEL_H

#include "unit.h"
#include <stdlib.h>
#include <tenon/tenon.h>

/* What a run gives, for x float32 of these dims, of numbers from -2.5 to 2.5 times `by`; the caller frees it. */
static inline float *run_model(const tn_model *model, const int64_t dims[4], float by, int threads, int64_t *count) {
    tn_session_options options = {.struct_size = sizeof options, .threads = threads};
    tn_session *session;
    tn_tensor *x;
    const tn_tensor *y;
    assert_ok(tn_tensor_create(TN_FLOAT32, 4, dims, NULL, &x));
    for (int64_t i = 0; i < tn_tensor_count(x); i++)
        ((float *)tn_tensor_data(x))[i] = ((float)(i * 37 % 101) / 20 - 2.5f) * by;
    assert_ok(tn_session_create(model, &options, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &y));
    *count = tn_tensor_count(y);
    float *copy = malloc(tn_tensor_bytes(y));
    memcpy(copy, tn_tensor_const_data(y), tn_tensor_bytes(y));
    tn_session_destroy(session);
    tn_tensor_destroy(x);
    return copy;
}

#endif
