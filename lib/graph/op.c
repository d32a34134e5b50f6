/* Finding operators by name, in the tables that the build collects. */
#include "graph/op.h"

const tn_op *tn_op_find(const char *domain, const char *name) {
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (const tn_op *const *table = tn_op_tables(); *table; table++)
        for (const tn_op *op = *table; op->name; op++)
            if (*op->name == *name && strcmp(op->name, name) == 0 && strcmp(op->domain, domain) == 0) return op;
    return NULL;
}
