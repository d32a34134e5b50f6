/* Running self-tests: see tenon/self_test.h for what agrees with what. */
#include "model/self_test.h"
#include <math.h>
#include <stdio.h>
#include "base/element.h"
#include "base/tensor.h"

enum { PIECE = 256 };

typedef struct comparison {
    const tn_self_test_case *one;
    const char *output;
    double worst;
    bool failed; /* with a sentence */
} comparison;

static tn_status wrong(comparison *c, const char *what, const char *expected, const char *found) {
    c->failed = true;
    c->worst = INFINITY;
    return tn_fail(TN_E_CHECK, "the self-test '%s' fails: %s of output '%s' is %s; expected %s", c->one->name, what,
                   c->output, found, expected);
}

static void compare_texts(comparison *c, const tn_tensor *is, const tn_tensor *should) {
    const tn_string *a = tn_tensor_const_data(is), *b = tn_tensor_const_data(should);
    for (int64_t i = 0; i < tn_count(should) && !c->failed; i++)
        if (!tn_string_equal(a[i], b[i])) wrong(c, "a text", "another", "one that is not as recorded");
}

/* The difference in tolerances: up to 1 is good. */
static double distance(const tn_self_test_case *one, double is, double should) {
    double off = fabs(is - should), most = (double)one->absolute + (double)one->relative * fabs(should);
    if (is == should || (isnan(is) && isnan(should))) return 0;
    return isfinite(off) && most > 0 ? off / most : INFINITY;
}

static void compare_numbers(comparison *c, tn_dtype dtype, const void *is, const void *should, int64_t count) {
    double a[PIECE], b[PIECE];
    char what[48], expected[64], found[32];
    for (int64_t first = 0; first < count && !c->failed; first += PIECE) {
        size_t n = (size_t)TN_MIN(count - first, (int64_t)PIECE);
        tn_read_doubles(dtype, is, first, n, a);
        tn_read_doubles(dtype, should, first, n, b);
        for (size_t i = 0; i < n && !c->failed; i++) {
            double off = distance(c->one, a[i], b[i]);
            if (off > c->worst) c->worst = off;
            if (off <= 1) continue;
            snprintf(what, sizeof what, "element %lld", (long long)first + (long long)i);
            snprintf(expected, sizeof expected, "%.9g, or at most %.3g off", b[i],
                     (double)c->one->absolute + (double)c->one->relative * fabs(b[i]));
            snprintf(found, sizeof found, "%.9g", a[i]);
            wrong(c, what, expected, found);
            c->worst = off;
        }
    }
}

static void compare(comparison *c, const tn_tensor *is, const tn_tensor *should) {
    char expected[128], found[128];
    int64_t count = tn_count(should);
    if (!is || !tn_tensor_is_alike(is, should)) {
        tn_shape_text(expected, sizeof expected, should->dtype, should->rank, should->dims);
        if (is) tn_shape_text(found, sizeof found, is->dtype, is->rank, is->dims);
        wrong(c, "the shape", expected, is ? found : "nothing");
    } else if (should->dtype == TN_STRING) {
        compare_texts(c, is, should);
    } else if (memcmp(is->data, should->data, tn_dtype_bytes(should->dtype, count)) != 0) {
        bool pairs = should->dtype == TN_COMPLEX64 || should->dtype == TN_COMPLEX128;
        tn_dtype part = should->dtype == TN_COMPLEX64 ? TN_FLOAT32 : TN_FLOAT64;
        compare_numbers(c, pairs ? part : should->dtype, is->data, should->data, pairs ? 2 * count : count);
    }
}

/* One case; what it finds wrong is in *c, and the status is that of what could not be done. */
static tn_status run_case(tn_session *session, comparison *c) {
    const tn_self_test_case *one = c->one;
    const tn_tensor *found;
    for (int i = 0; i < one->input_count; i++)
        TN_TRY(tn_session_set_input_by_name(session, one->inputs[i].name, one->inputs[i].tensor));
    TN_TRY(tn_session_run(session));
    for (int i = 0; i < one->output_count && !c->failed; i++) {
        c->output = one->outputs[i].name;
        TN_TRY(tn_session_output_by_name(session, c->output, &found));
        compare(c, found, one->outputs[i].tensor);
    }
    return TN_OK;
}

tn_status tn_self_test_run(const tn_self_test *test, const tn_model *model, const tn_session_options *options,
                           tn_self_test_result *out_result) {
    tn_self_test_result result = {.struct_size = out_result ? out_result->struct_size : 0};
    tn_self_test_case one = {.struct_size = sizeof one};
    char sentence[512] = "";
    tn_status status = TN_OK;
    for (int i = 0; tn_self_test_at(test, i, &one) == TN_OK; i++) {
        tn_session *session = NULL;
        comparison c = {.one = &one};
        tn_status did = tn_session_create(model, options, &session);
        if (did == TN_OK) did = run_case(session, &c);
        if (did != TN_OK) tn_fail_context(did, "the self-test '%s'", one.name);
        if (did == TN_OK && c.failed) did = TN_E_CHECK;
        if (did != TN_OK && status == TN_OK) snprintf(sentence, sizeof sentence, "%s", tn_last_error());
        if (status == TN_OK) status = did;
        tn_session_destroy(session);
        result.cases++;
        result.failed += did != TN_OK;
        result.worst = did != TN_OK && !c.failed ? INFINITY : fmax(result.worst, c.worst);
    }
    if (out_result) memcpy(out_result, &result, TN_MIN(out_result->struct_size, sizeof result));
    return status == TN_OK ? TN_OK : tn_fail(status, "%s", sentence);
}
