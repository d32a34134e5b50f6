/* Gates inside the library: reading one, and its bounds on metrics; who looks at the rest is the caller. See tenon/gate.h. */
#ifndef TN_MODEL_GATE_H
#define TN_MODEL_GATE_H

#include <locale.h>
#include <tenon/gate.h>
#include <tenon/self_test.h>
#include "model/manifest.h"

typedef struct tn_gate {
    const tn_manifest *manifest, *serving; /* whose metrics are looked at, and compared with; NULL: there is none */
    const char *against, *whose;           /* for sentences: "stable", "the version that stable points at" */
    bool first;                            /* there is nothing to compare with yet, which is no fault */
    const char *why_not;                   /* the second cannot be read; "" */
    bool any_data;                         /* whatever a metric was measured on */
    tn_gate_report *report;
    void *context;
    locale_t plain; /* numbers with a point, whatever the host's locale is */
    int failed;
    char sentence[1000]; /* of what failed */
} tn_gate;

tn_status tn_gate_open(tn_gate *gate);
void tn_gate_close(tn_gate *gate);
tn_status tn_gate_read(const char *text, size_t size, tn_region *region, tn_manifest_node **out_root);
/* One bound came out so. */
void tn_gate_tell(tn_gate *gate, const char *bound, const char *expected, const char *found, bool passed);
/* The model's self-test, if the gate asks for it; its bounds on metrics. */
tn_status tn_gate_self_test(tn_gate *gate, const tn_manifest_node *root, const tn_model *model);
void tn_gate_metrics(tn_gate *gate, const tn_manifest_node *root);

#endif
