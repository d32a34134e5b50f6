/* Making a version ready to serve; see deployment.h. */
#include "store/deployment.h"
#include <tenon/self_test.h>
#include "base/tensor.h"

/* An input of zeros, where the host has no hand in warming up. */
static tn_status set_zeros(tn_deployment *d, tn_session *session, int input, bool first) {
    tn_value_info info;
    TN_TRY(tn_model_input_info(d->model, input, &info));
    if (strcmp(info.kind, "tensor") != 0 || info.rank < 0)
        return tn_fail(TN_E_UNSUPPORTED, "input '%s' is no tensor of known rank; options.warm must set it", info.name);
    if (first) {
        int64_t dims[TN_MAX_RANK];
        size_t bytes;
        for (int i = 0; i < info.rank; i++) dims[i] = info.dims[i] < 0 ? 1 : info.dims[i];
        TN_TRY(tn_tensor_create(info.dtype, info.rank, dims, NULL, &d->zeros[input]));
        bytes = tn_dtype_bytes(info.dtype, tn_count(d->zeros[input]));
        memset(d->zeros[input]->data, 0, bytes);
    }
    return tn_session_set_input(session, input, d->zeros[input]);
}

static tn_status warm(tn_deployment *d, const tn_subscription_options *o, int i) {
    TN_TRY(tn_session_create(d->model, o->session, &d->sessions[i]));
    tn_session *session = d->sessions[i];
    if (o->warm) {
        TN_TRY(o->warm(o->context, session));
    } else {
        for (int input = 0; input < d->zero_count; input++) TN_TRY(set_zeros(d, session, input, i == 0));
    }
    TN_TRY(tn_session_run(session));
    if (i == 0 && o->check) {
        tn_status status = o->check(o->context, &d->version, session);
        if (status != TN_OK) return tn_fail(status, "the host's check refused it: %s", tn_status_text(status));
    }
    d->free[d->free_count++] = session;
    return TN_OK;
}

/* Of the model's own file; a version without one passes unless the host asks for it. */
static tn_status self_test(const tn_deployment *d, const tn_subscription_options *o) {
    tn_self_test *test;
    tn_status status = tn_self_test_of_model(d->model, &test);
    if (status == TN_E_NOT_FOUND && !o->require_self_test) return TN_OK;
    if (status == TN_OK) status = tn_self_test_run(test, d->model, o->session, NULL);
    tn_self_test_destroy(test);
    return status;
}

tn_status tn_deployment_create(tn_store *store, const char *digest, const tn_subscription_options *o,
                               tn_deployment **out_deployment) {
    *out_deployment = NULL;
    tn_deployment *d = tn_alloc_zero(NULL, sizeof *d);
    if (!d) return TN_E_MEMORY;
    tn_status status = tn_store_find(store, digest, &d->version);
    if (status == TN_OK) status = tn_store_load(store, digest, o->model, &d->model);
    if (status == TN_OK) {
        d->count = TN_MAX(o->sessions, 1);
        d->zero_count = tn_model_input_count(d->model);
        d->sessions = tn_alloc_zero(NULL, (size_t)d->count * sizeof *d->sessions);
        d->free = tn_alloc_zero(NULL, (size_t)d->count * sizeof(tn_session *));
        d->zeros = tn_alloc_zero(NULL, ((size_t)d->zero_count + 1) * sizeof *d->zeros);
        if (!d->sessions || !d->free || !d->zeros) status = TN_E_MEMORY;
    }
    if (status == TN_OK) status = self_test(d, o);
    for (int i = 0; i < d->count && status == TN_OK; i++) status = warm(d, o, i);
    if (status == TN_OK) {
        *out_deployment = d;
        return TN_OK;
    }
    if (d->version.name[0]) tn_fail_context(status, "'%s:%s'", d->version.name, d->version.version);
    tn_deployment_destroy(d);
    return status;
}

void tn_deployment_destroy(tn_deployment *d) {
    if (!d) return;
    for (int i = 0; d->sessions && i < d->count; i++) tn_session_destroy(d->sessions[i]);
    for (int i = 0; d->zeros && i < d->zero_count; i++) tn_tensor_destroy(d->zeros[i]);
    if (d->sessions) tn_free(NULL, d->sessions, (size_t)d->count * sizeof *d->sessions);
    if (d->free) tn_free(NULL, d->free, (size_t)d->count * sizeof(tn_session *));
    if (d->zeros) tn_free(NULL, d->zeros, ((size_t)d->zero_count + 1) * sizeof *d->zeros);
    tn_model_destroy(d->model);
    tn_free(NULL, d, sizeof *d);
}
