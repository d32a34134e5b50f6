/* Weights that lie unaligned in a model file: a step is prepared with aligned copies, its shadows. Where the operator
 * packs them, the copies go again; where it does not, they stay, for all plans of the model. */
#ifndef TN_SHADOW_H
#define TN_SHADOW_H

#include "exec/plan.h"

typedef struct tn_shadow {
    tn_tensor tensor;
    size_t bytes; /* of its memory; 0: none was needed */
} tn_shadow;

/* Whether input i is a constant of the model that lies unaligned. */
bool tn_is_misaligned(const tn_step *step, int i);
/* One shadow an input; step->contents points to those that were needed. What fails is to be settled as well. */
tn_status tn_shadows_make(tn_exec *exec, const tn_plan *plan, tn_step *step, tn_shadow **out_shadows);
/* After the step was prepared, with `status`: step->contents is as before; inputs that were not packed are read from
 * aligned copies from now on. Returns `status`, or what failed here. */
tn_status tn_shadows_settle(tn_exec *exec, tn_plan *plan, tn_step *step, tn_shadow *shadows, const bool *packed,
                            tn_status status);
/* From now on the plan reads an aligned copy of the constant that the value is. */
tn_status tn_align_value(tn_exec *exec, tn_plan *plan, int value);

#endif
