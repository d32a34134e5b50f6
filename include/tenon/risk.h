/* Risks: what a model gives away of the rows that it was trained on, which rows of data look wrong, and what a model's file has
 * that no model needs.
 *
 *     tn_evaluation_losses(trained, member_losses);        // evaluations (tenon/evaluate.h) of rows that it was trained on
 *     tn_evaluation_losses(held, other_losses);            // and of others of the same kind
 *     tn_membership_of(member_losses, n, other_losses, k, &risk);
 *     tn_suspects(x, labels, 10, distance, disagreement);
 *     tn_scan("from-elsewhere.onnx", on_finding, NULL, &findings);
 *
 * Thread-safety: all may be called by many threads at once. */
#ifndef TENON_RISK_H
#define TENON_RISK_H

#include <tenon/evaluate.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The loss of each row of an evaluation, as many as it has: -ln p of the true class (p at least 1e-12), the mean squared
 * error of its numbers, or of sequences the edits for each label. */
TN_API tn_status tn_evaluation_losses(const tn_evaluation *evaluation, double *losses);

/* How well who sees a row's loss can tell whether the model was trained on the row, by a threshold (Yeom et al., "Privacy Risk
 * in Machine Learning", 2018; the last as Carlini et al., "Membership Inference Attacks From First Principles", 2022, measure
 * it). A model that gives nothing away has 0.5, 0, 0.01. */
typedef struct tn_membership {
    size_t struct_size; /* set by the caller */
    int64_t members, others;
    double auc;       /* probability that a member's loss is below another row's */
    double advantage; /* the greatest difference between the parts of members and of others below a threshold */
    double exposed;   /* part of the members below a threshold that 1 % of the others are below at most */
} tn_membership;
/* Losses that are not finite are refused. */
TN_API tn_status tn_membership_of(const double *members, int64_t member_count, const double *others,
                                  int64_t other_count, tn_membership *out);

/* Rows of x [N, ...] float32 that are far from all others, or whose label is not that of their neighbours: measured wrongly,
 * labelled wrongly, or put there to mislead. distance[N]: mean distance to the `neighbours` nearest other rows, over the
 * median of that of all rows (Ramaswamy et al., 2000); 0 where all rows are alike. disagreement[N]: the part of these
 * neighbours with another label (Wilson, 1972); labels int64 [N] may be NULL, and then so may it. Columns should be scaled
 * alike, as pipelines do. Of more than 4096 rows neighbours are looked for among so many, evenly spread, so that it takes time
 * in proportion to N. */
TN_API tn_status tn_suspects(const tn_tensor *x, const tn_tensor *labels, int neighbours, double *distance,
                             double *disagreement);

/* Tells of what is in a model's file that no model needs. Tenon runs none of it; other programs that open the file may, and who
 * put it there had something in mind:
 *   programs (ELF, PE, Mach-O), scripts, archives and pickles that call programs, anywhere in the file, in weights too
 *   templates and calls of Python in texts of the metadata or manifest
 *   constants that no node reads, and weights that are no numbers
 * `where` is a constant, a key of the metadata or a place in the file. A file that is no model is searched all the same, and
 * then the status says why it cannot be loaded; with TN_OK all was looked at. What is hidden in numbers or enciphered
 * it does not find. report and out_findings may be NULL. */
typedef void tn_scan_report(void *context, const char *where, const char *what);
TN_API tn_status tn_scan(const char *path, tn_scan_report *report, void *context, int *out_findings);

#ifdef __cplusplus
}
#endif
#endif
