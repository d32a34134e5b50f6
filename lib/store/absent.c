/* A library without libsodium or jansson has no stores, and says so. */
#include "base/base.h"
#include <tenon/backup.h>
#include <tenon/diff.h>
#include <tenon/fetch.h>
#include <tenon/gate.h>
#include <tenon/subscription.h>
#include <tenon/upgrade.h>

#define ABSENT(name, ...)                                                                                              \
    tn_status name(__VA_ARGS__) {                                                                                      \
        return tn_fail(TN_E_UNSUPPORTED,                                                                               \
                       "this library was built without stores; build it with libsodium and jansson");                  \
    }

#pragma GCC diagnostic ignored "-Wunused-parameter"
ABSENT(tn_store_create, const char *path)
ABSENT(tn_store_open, const char *path, tn_store **out_store)
void tn_store_close(tn_store *store) {}
ABSENT(tn_store_put, tn_store *s, const char *file, const tn_store_put_options *options, tn_store_version *out_version)
ABSENT(tn_store_find, tn_store *s, const char *reference, tn_store_version *out_version)
ABSENT(tn_store_at, tn_store *s, int index, tn_store_version *out_version)
ABSENT(tn_store_get, tn_store *s, const char *reference, const char *path)
ABSENT(tn_store_load, tn_store *s, const char *reference, const tn_model_options *options, tn_model **out_model)
ABSENT(tn_store_remove, tn_store *s, const char *reference)
ABSENT(tn_store_collect, tn_store *s, uint64_t *out_bytes)
ABSENT(tn_store_verify, tn_store *s, void (*on_fault)(void *context, const char *sentence), void *context,
       int *out_faults)
ABSENT(tn_store_repair, const char *path, const char *mirror, int *out_mended)
ABSENT(tn_store_audit, tn_store *s, int index, tn_store_event *out_event)

ABSENT(tn_store_gate, tn_store *store, const char *reference, const char *channel, const char *gate, size_t gate_size,
       tn_gate_report *report, void *context)
ABSENT(tn_store_promote_through, tn_store *store, const char *reference, const char *channel, const char *keys,
       const char *gate, size_t gate_size, tn_gate_report *report, void *context)

ABSENT(tn_store_backup, tn_store *store, const char *path, const tn_store_backup_options *options,
       tn_backup_state *out_state)
ABSENT(tn_backup_verify, const char *path, tn_backup_state *out_state)
ABSENT(tn_store_restore, const char *store, const char *const *files, size_t count, tn_restore_result *out_result)
ABSENT(tn_upgrade, tn_store *store, const char *reference, const tn_upgrade_options *options,
       tn_upgrade_result *out_result)
ABSENT(tn_store_diff, tn_store *store, const char *before, const char *after,
       void (*report)(void *context, const tn_diff_row *row), void *context, int *out_count)

ABSENT(tn_store_put_delta, tn_store *store, const char *base, const char *reference, uint64_t *out_bytes)
ABSENT(tn_store_fetch, tn_store *store, const char *from, const char *reference, const tn_fetch_options *options,
       tn_store_version *out_version, tn_fetch_result *out_result)

ABSENT(tn_subscription_open, const char *store, const char *reference, const tn_subscription_options *options,
       tn_subscription **out_subscription)
void tn_subscription_close(tn_subscription *subscription) {}
ABSENT(tn_subscription_poll, tn_subscription *s, bool *out_changed)
ABSENT(tn_subscription_wait, tn_subscription *s, int milliseconds, bool *out_woken)
void tn_subscription_wake(tn_subscription *subscription) {}
ABSENT(tn_subscription_follow, tn_subscription *s, const char *reference)
ABSENT(tn_subscription_rollback, tn_subscription *s)
ABSENT(tn_subscription_acquire, tn_subscription *s, tn_lease *out_lease)
void tn_subscription_release(tn_subscription *s, tn_lease *lease, bool failed) {}
ABSENT(tn_window_look, const char *window, int64_t time, bool *out_open, int64_t *out_opens)
ABSENT(tn_subscription_info, tn_subscription *s, tn_subscription_state *out_state)
