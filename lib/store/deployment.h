/* A version that is loaded and ready: its model, and sessions for requests, those that are free in a stack. */
#ifndef TN_STORE_DEPLOYMENT_H
#define TN_STORE_DEPLOYMENT_H

#include <tenon/subscription.h>
#include "base/base.h"

typedef struct tn_deployment tn_deployment;
struct tn_deployment {
    tn_store_version version;
    tn_model *model;
    tn_session **sessions, **free; /* `count` each */
    int count, free_count;
    tn_tensor **zeros; /* inputs that stand in until a host sets its own */
    int zero_count;
    bool retired;        /* goes when its last lease is back */
    tn_deployment *next; /* that goes as well */
    uint64_t requests, failures;
};

/* Loads the version, prepares and runs its sessions, and asks the host. */
tn_status tn_deployment_create(tn_store *store, const char *digest, const tn_subscription_options *options,
                               tn_deployment **out_deployment);
void tn_deployment_destroy(tn_deployment *d); /* accepts NULL */

#endif
