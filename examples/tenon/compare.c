/* --compare: are the outputs what they should be? |is - should| <= atol + rtol |should|, as NumPy's allclose says it. */
#include "tool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct difference {
    int64_t wrong, first; /* elements out of tolerance, and the first of them */
    double absolute, relative;
    const char *reason; /* why nothing could be compared */
} difference;

static difference compare(const tn_tensor *is, const tn_tensor *should, const settings *s) {
    difference d = {.first = -1};
    if (tn_tensor_dtype(is) != tn_tensor_dtype(should))
        d.reason = "the data types differ";
    else if (tn_tensor_rank(is) != tn_tensor_rank(should) ||
             (tn_tensor_rank(is) &&
              memcmp(tn_tensor_dims(is), tn_tensor_dims(should), (size_t)tn_tensor_rank(is) * sizeof(int64_t)) != 0))
        d.reason = "the shapes differ";
    if (d.reason) return d;
    const tn_string *a = tn_tensor_const_data(is), *b = tn_tensor_const_data(should);
    for (int64_t i = 0; i < tn_tensor_count(is); i++) {
        bool equal;
        if (tn_tensor_dtype(is) == TN_STRING) {
            equal = a[i].size == b[i].size && (!a[i].size || memcmp(a[i].data, b[i].data, a[i].size) == 0);
        } else {
            double x = tensor_element(is, i), y = tensor_element(should, i), off = fabs(x - y);
            equal = x == y || (isnan(x) && isnan(y)) || (isfinite(y) && off <= s->atol + s->rtol * fabs(y));
            if (x != y && isfinite(off)) {
                d.absolute = fmax(d.absolute, off);
                if (y != 0) d.relative = fmax(d.relative, off / fabs(y));
            }
        }
        if (equal) continue;
        if (!d.wrong++) d.first = i;
    }
    return d;
}

/* The file with element k of output `index`: of a word without NAME= the k-th is itself where it fits. */
static void expected_path(const settings *s, const char *name, int index, size_t k, char *path, size_t size) {
    char safe[256];
    size_t length = strlen(name), named = 0;
    path[0] = 0;
    for (size_t i = 0; i < s->compares.count && !path[0]; i++) {
        const char *word = s->compares.items[i];
        bool about = strncmp(word, name, length) == 0 && word[length] == '=';
        if (about && named++ == k) snprintf(path, size, "%s", word + length + 1);
        if (about || strchr(word, '=') || k) continue;
        if (ends_with(word, ".npz")) {
            snprintf(path, size, "%s:%s", word, name);
        } else if (is_folder(word)) {
            file_name(safe, sizeof safe, name);
            snprintf(path, size, "%s/%s.npy", word, safe);
            FILE *file = fopen(path, "rb");
            if (file)
                fclose(file);
            else
                snprintf(path, size, "%s/output_%d.pb", word, index);
        } else if (index == 0) {
            snprintf(path, size, "%s", word);
        }
    }
}

static void report(json *j, const char *name, const char *path, const tn_tensor *is, const difference *d) {
    if (j) {
        emit_object(j, NULL);
        emit_text(j, "output", name);
        emit_text(j, "file", path);
        emit_bool(j, "equal", !d->reason && !d->wrong);
        emit_text(j, "reason", d->reason);
        emit_int(j, "wrong", d->wrong);
        emit_number(j, "max_absolute", d->absolute);
        emit_number(j, "max_relative", d->relative);
        emit_end(j);
    } else if (d->reason) {
        printf("%s: not as in %s: %s\n", name, path, d->reason);
    } else {
        printf("%s: %s %s: %lld of %lld elements out of tolerance", name, d->wrong ? "not as in" : "as in", path,
               (long long)d->wrong, (long long)tn_tensor_count(is));
        if (d->wrong) printf(", the first at %lld", (long long)d->first);
        printf("; at most %.3g off, relatively %.3g\n", d->absolute, d->relative);
    }
}

bool compare_outputs(host *h, const settings *s, json *j, bool *out_equal) {
    size_t compared = 0;
    bool good = true;
    *out_equal = true;
    for (int i = 0; i < tn_model_output_count(h->model) && good; i++) {
        tn_value_info info;
        size_t count;
        tn_tensor **outputs;
        char path[4600];
        if (tn_model_output_info(h->model, i, &info) != TN_OK || !host_output(h, i, &count, &outputs)) return false;
        for (size_t k = 0; k < count && good; k++) {
            tn_tensor *should;
            expected_path(s, info.name, i, k, path, sizeof path);
            if (!path[0]) continue;
            good = tensor_load(path, tn_tensor_dtype(outputs[k]), &should);
            if (!good) continue;
            difference d = compare(outputs[k], should, s);
            report(j, info.name, path, outputs[k], &d);
            *out_equal = *out_equal && !d.reason && !d.wrong;
            compared++;
            tn_tensor_destroy(should);
        }
        outputs_free(count, outputs);
    }
    if (good && !compared) complain("--compare: nothing there is about an output of this model");
    return good && compared;
}
