/* Types: what is known of a value, and how two sayings about one value combine. */
#include "graph/graph.h"
#include <stdio.h>

void tn_type_unknown(tn_type *type) {
    *type = (tn_type){.rank = -1};
    for (int i = 0; i < TN_MAX_RANK; i++) type->dims[i] = -1;
}

void tn_type_tensor(tn_type *type, tn_dtype dtype, int rank, const int64_t *dims) {
    tn_type_unknown(type);
    type->kind = TN_KIND_TENSOR;
    type->dtype = dtype;
    type->rank = rank;
    for (int i = 0; i < rank; i++) type->dims[i] = dims[i];
}

bool tn_type_is_concrete(const tn_type *type) {
    if (type->kind != TN_KIND_TENSOR || type->optional || type->dtype == TN_UNDEFINED || type->rank < 0) return false;
    for (int i = 0; i < type->rank; i++)
        if (type->dims[i] < 0) return false;
    return true;
}

void tn_type_merge(tn_type *type, const tn_type *other) {
    if (type->kind != other->kind) {
        tn_type_unknown(type);
        return;
    }
    type->optional |= other->optional;
    if (type->dtype != other->dtype) type->dtype = TN_UNDEFINED;
    if (type->rank != other->rank) type->rank = -1;
    for (int i = 0; i < TN_MAX_RANK; i++)
        if (type->rank < 0 || (i < type->rank && type->dims[i] != other->dims[i])) type->dims[i] = -1;
}

tn_status tn_type_stacked(const tn_type *element, int64_t turns, int64_t axis, tn_type *out) {
    tn_type_unknown(out);
    out->kind = TN_KIND_TENSOR;
    out->dtype = element->dtype;
    if (element->rank < 0) return TN_OK;
    if (element->rank + 1 > TN_MAX_RANK) return tn_fail(TN_E_SHAPE, "a scan output of more than %d dims", TN_MAX_RANK);
    if (axis < 0) axis += element->rank + 1;
    if (axis < 0 || axis > element->rank)
        return tn_fail(TN_E_INVALID, "a scan output of %d dims has no axis %lld", element->rank + 1, (long long)axis);
    out->rank = element->rank + 1;
    for (int i = 0, k = 0; i < out->rank; i++) out->dims[i] = i == axis ? turns : element->dims[k++];
    return TN_OK;
}

tn_status tn_type_refine(tn_type *type, const tn_type *other) {
    char a[200], b[200];
    if (other->kind == TN_KIND_UNKNOWN) return TN_OK;
    if (type->kind == TN_KIND_UNKNOWN) {
        *type = *other;
        return TN_OK;
    }
    bool fits = type->kind == other->kind;
    if (fits && type->dtype && other->dtype) fits = type->dtype == other->dtype;
    if (fits && type->rank >= 0 && other->rank >= 0) fits = type->rank == other->rank;
    for (int i = 0; fits && i < type->rank && i < other->rank; i++)
        if (type->dims[i] >= 0 && other->dims[i] >= 0) fits = type->dims[i] == other->dims[i];
    if (!fits)
        return tn_fail(TN_E_SHAPE, "%s does not agree with %s", tn_type_text(a, sizeof a, NULL, type),
                       tn_type_text(b, sizeof b, NULL, other));
    type->optional |= other->optional;
    if (!type->dtype) type->dtype = other->dtype;
    if (other->rank < 0) return TN_OK;
    if (type->rank < 0) {
        type->rank = other->rank;
        memcpy(type->dims, other->dims, sizeof type->dims);
    }
    for (int i = 0; i < type->rank; i++)
        if (other->dims[i] >= 0 || type->dims[i] == -1) type->dims[i] = other->dims[i];
    return TN_OK;
}

char *tn_type_text(char *text, size_t size, const tn_graph *graph, const tn_type *type) {
    size_t used = 0;
    if (!size) return text;
    text[0] = 0;
#define ADD(...)                                                                                                       \
    do {                                                                                                               \
        int add_n = used < size ? snprintf(text + used, size - used, __VA_ARGS__) : 0;                                 \
        if (add_n > 0) used += (size_t)add_n;                                                                          \
    } while (0)
    if (type->optional) ADD("optional ");
    if (type->kind == TN_KIND_UNKNOWN)
        ADD("unknown");
    else if (type->kind == TN_KIND_OTHER)
        ADD("other");
    else {
        if (type->kind == TN_KIND_SEQUENCE) ADD("sequence of ");
        ADD("%s[", type->dtype ? tn_dtype_name(type->dtype) : "?");
        for (int i = 0; i < type->rank; i++) {
            int64_t dim = type->dims[i], symbol = -2 - dim;
            const char *comma = i ? "," : "";
            if (dim >= 0)
                ADD("%s%lld", comma, (long long)dim);
            else if (graph && symbol >= 0 && symbol < graph->root->symbol_count)
                ADD("%s%s", comma, graph->root->symbols[symbol]);
            else
                ADD("%s?", comma);
        }
        ADD(type->rank < 0 ? "...]" : "]");
    }
#undef ADD
    return text;
}
