/* Gates: what a version must show before a channel is pointed at it.
 *
 *     signed: canary            # the trusted channel canary of this model points at this very version now
 *     self_test: true           # its file has a self-test (tenon/self_test.h), and this machine passes it
 *     metrics:                  # of its file's manifest (tenon/manifest.h); a metric that is not there fails
 *       - name: recall
 *         data: strokes-test    # what it was measured on; needed where the manifest has several of this name
 *         at_least: 0.99
 *         drop: 0.002           # at most so much below that of the version that the channel points at now
 *       - name: latency_ms
 *         at_most: 2.5
 *         rise: 0               # at most so much above it; below 0: it must be better by so much
 *
 * drop and rise hold where the channel points at nothing yet; where the version that it points at cannot be read, or has
 * no such metric, they fail. Other keys are refused with their line and column. YAML as in manifests: maps, lists and
 * scalars, nothing else.
 *
 *     tn_store_gate(s, "press:1.3.0", "stable", text, strlen(text), on_row, context);
 *     tn_store_promote_through(s, "press:1.3.0", "stable", "keys", text, strlen(text), NULL, NULL);
 *
 * A gate is a check of what the promoter wants, by whoever has the keys; what keeps others from promoting are the keys.
 *
 * A library built without libyaml answers TN_E_UNSUPPORTED, as one without stores does. */
#ifndef TENON_GATE_H
#define TENON_GATE_H

#include <stdbool.h>
#include <tenon/trust.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One bound, and how it came out. The texts live as long as the call that tells of them. */
typedef struct tn_gate_row {
    const char *bound;            /* "signed", "self_test", "recall at_least" */
    const char *expected, *found; /* "0.99"; "0.985" */
    bool passed;
} tn_gate_row;
typedef void tn_gate_report(void *context, const tn_gate_row *row);

/* Looks at every bound, and tells report (may be NULL) of each. TN_E_CHECK if one is not kept; the sentence names all
 * such, with what was expected and found. */
TN_API tn_status tn_store_gate(tn_store *store, const char *reference, const char *channel, const char *gate,
                               size_t gate_size, tn_gate_report *report, void *context);
/* tn_store_promote (tenon/trust.h), if the gate lets the version through. Where others change channels of the store
 * meanwhile, it looks again, and report is told again; TN_E_STATE if they do so every time. */
TN_API tn_status tn_store_promote_through(tn_store *store, const char *reference, const char *channel, const char *keys,
                                          const char *gate, size_t gate_size, tn_gate_report *report, void *context);

#ifdef __cplusplus
}
#endif
#endif
