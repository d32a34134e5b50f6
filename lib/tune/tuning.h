/* Tuning of plans inside the library: a study whose trials are trainings.
 *
 *     YAML -> tuning.c (space, objectives) -> edit.c (a trial's plan) -> trial.c (train and measure) <- run.c (jobs, files) */
#ifndef TN_TUNING_H
#define TN_TUNING_H

#include <stdatomic.h>
#include "model/manifest.h"
#include "plan/plan.h"
#include "tune/study.h"

/* Where in the plan a parameter goes, and what its choices are there. */
typedef struct tn_knob {
    const char *path;
    const tn_manifest_node *choices; /* a list; NULL: a number */
} tn_knob;

struct tn_tuning {
    tn_region *region;
    tn_study *study;
    const char *folder, *name, *file;
    tn_string plan;     /* its text */
    const char *prefix; /* of its paths, from the study's folder: "" or ending in a slash */
    tn_knob knobs[TN_MOST_PARAMETERS];
    int64_t trials, jobs;
    bool open;
};

/* ---- edit.c ---- */

/* The text of the plan with each parameter at its value x (NaN: as it is). Zero-terminated, the region's. */
tn_status tn_tuning_plan(const tn_tuning *t, const double *x, tn_region *region, tn_string *out);
/* A tree as it was read, as text again. */
tn_status tn_tuning_print(const tn_manifest_node *root, tn_region *region, tn_string *out);
/* What a choice is called: its text, or YAML on one line. */
tn_status tn_tuning_label(const tn_manifest_node *node, tn_region *region, const char **out);
const char *tn_tuning_place(const tn_tuning *t, int64_t number, const char *kind, tn_region *region);

/* ---- trial.c, run.c ---- */

typedef struct tn_tuning_state {
    tn_tuning *tuning;
    tn_tuning_options options;
    pthread_rwlock_t quiet; /* trials read it while they compute; who measures time writes it */
    pthread_mutex_t lock;   /* of what follows, of the files that stay and of the host's callback */
    int64_t wanted, asked;
    atomic_bool stop;
    tn_status status; /* why it stopped */
    char sentence[600];
} tn_tuning_state;

/* Trains one trial and tells the study. What is not TN_OK stops all. */
tn_status tn_tuning_try(tn_tuning_state *run, int64_t number);
bool tn_tuning_tell(tn_tuning_state *run, int64_t number, tn_trial_state state, int64_t epoch, int64_t epochs,
                    const char *sentence);

/* Objectives that are no metrics. */
#define TN_OBJECTIVE_LOSS "loss"
#define TN_OBJECTIVE_LATENCY "latency"
#define TN_OBJECTIVE_SIZE "size"

#endif
