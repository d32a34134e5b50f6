/* The space of a study: its parameters and objectives, while it is not open yet. */
#include "base/unicode.h"
#include "tune/study.h"

bool tn_study_takes(uint32_t code) {
    return code >= 0x20 && (code < 0x7f || code > 0x9f) && code != 0xfeff && code != 0xfffe &&
           code <= TN_UNICODE_LAST && code != 0xffff;
}

static tn_status check_text(const char *what, const char *text) {
    uint32_t code;
    if (!text || !*text) return tn_fail(TN_E_INVALID, "%s needs a name", what);
    size_t size = strlen(text);
    if (size > 16384) return tn_fail(TN_E_LIMIT, "%s has a name of %zu bytes; 16384 can be", what, size);
    for (size_t i = 0; i < size;) {
        i += tn_utf8_decode(text + i, size - i, &code);
        if (!tn_study_takes(code))
            return tn_fail(TN_E_INVALID, "%s '%.60s' is not UTF-8, or has characters that control something", what,
                           text);
    }
    return TN_OK;
}

static int find(const tn_study *s, const char *name) {
    for (int i = 0; name && i < s->dimension_count; i++)
        if (strcmp(s->dimensions[i].name, name) == 0) return i;
    return -1;
}

static tn_status add(tn_study *s, const char *name, tn_dimension d) {
    if (s->open) return tn_fail(TN_E_STATE, "a study that is open takes no more parameters");
    TN_TRY(check_text("a parameter", name));
    if (find(s, name) >= 0) return tn_fail(TN_E_INVALID, "the parameter '%.80s' is there already", name);
    if (s->dimension_count == TN_MOST_PARAMETERS)
        return tn_fail(TN_E_LIMIT, "a study has up to %d parameters", TN_MOST_PARAMETERS);
    d.parent = -1;
    if (!(d.name = tn_region_strdup(s->region, name))) return TN_E_MEMORY;
    s->dimensions[s->dimension_count++] = d;
    return TN_OK;
}

static tn_status check_range(const char *name, double low, double high, double step, bool logarithm) {
    if (!isfinite(low) || !isfinite(high) || !(low <= high) || !isfinite(high - low))
        return tn_fail(TN_E_INVALID, "the parameter '%.80s' is from %.9g to %.9g: the lesser comes first", name, low,
                       high);
    if (logarithm && !(low > 0))
        return tn_fail(TN_E_INVALID, "the parameter '%.80s' begins at %.9g: a logarithm needs more than 0", name, low);
    if (!(step >= 0) || !isfinite(step) || (step > 0 && (high - low) / step > 1e9))
        return tn_fail(TN_E_INVALID, "the parameter '%.80s' has a step of %.9g", name, step);
    return TN_OK;
}

tn_status tn_study_add_float(tn_study *s, const char *name, double low, double high, double step, bool logarithm) {
    TN_TRY(check_range(name ? name : "", low, high, step, logarithm));
    if (logarithm && step > 0) return tn_fail(TN_E_INVALID, "the parameter '%.80s' has a logarithm and a step", name);
    if (step > 0) high = low + floor((high - low) / step + 1e-9) * step;
    return add(
        s, name,
        (tn_dimension){.kind = TN_PARAMETER_FLOAT, .low = low, .high = high, .step = step, .logarithm = logarithm});
}

tn_status tn_study_add_int(tn_study *s, const char *name, int64_t low, int64_t high, int64_t step, bool logarithm) {
    const int64_t most = (int64_t)1 << 53;
    if (!name) name = "";
    if (low < -most || high > most) return tn_fail(TN_E_LIMIT, "the parameter '%.80s' goes beyond 2^53", name);
    if (step < 0 || step > most || (logarithm && step > 1))
        return tn_fail(TN_E_INVALID, "the parameter '%.80s' has a step of %lld%s", name, (long long)step,
                       logarithm ? " beside a logarithm" : "");
    if (step == 0) step = 1;
    TN_TRY(check_range(name, (double)low, (double)high, (double)step, logarithm));
    high = low + (high - low) / step * step;
    return add(s, name,
               (tn_dimension){.kind = TN_PARAMETER_INT,
                              .low = (double)low,
                              .high = (double)high,
                              .step = (double)step,
                              .logarithm = logarithm});
}

tn_status tn_study_add_choice(tn_study *s, const char *name, const char *const *choices, int count) {
    if (count < 1 || count > TN_MOST_CHOICES)
        return tn_fail(TN_E_INVALID, "the parameter '%.80s' has %d choices; 1 to %d can be", name ? name : "", count,
                       TN_MOST_CHOICES);
    const char **own = tn_region_array(s->region, (size_t)count, sizeof *own);
    if (!own) return TN_E_MEMORY;
    for (int i = 0; i < count; i++) {
        TN_TRY(check_text("a choice", choices[i]));
        for (int k = 0; k < i; k++)
            if (strcmp(own[k], choices[i]) == 0)
                return tn_fail(TN_E_INVALID, "the parameter '%.80s' has the choice '%.80s' twice", name ? name : "",
                               choices[i]);
        if (!(own[i] = tn_region_strdup(s->region, choices[i]))) return TN_E_MEMORY;
    }
    return add(
        s, name,
        (tn_dimension){.kind = TN_PARAMETER_CHOICE, .high = count - 1, .step = 1, .choices = own, .count = count});
}

tn_status tn_study_add_condition(tn_study *s, const char *name, const char *other, const char *choice) {
    int d = find(s, name), parent = find(s, other);
    if (s->open) return tn_fail(TN_E_STATE, "a study that is open takes no more conditions");
    if (d < 0 || parent < 0 || parent >= d || s->dimensions[parent].kind != TN_PARAMETER_CHOICE || !choice)
        return tn_fail(TN_E_NOT_FOUND,
                       "the condition of '%.80s' is on '%.80s', which is no parameter of choices before it",
                       name ? name : "", other ? other : "");
    const tn_dimension *p = &s->dimensions[parent];
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->choices[i], choice) == 0) {
            s->dimensions[d].parent = parent;
            s->dimensions[d].choice = i;
            return TN_OK;
        }
    return tn_fail(TN_E_NOT_FOUND, "the condition of '%.80s': '%.80s' has no choice '%.80s'", name, other, choice);
}

tn_status tn_study_add_objective(tn_study *s, const char *name, bool maximize) {
    if (s->open) return tn_fail(TN_E_STATE, "a study that is open takes no more objectives");
    TN_TRY(check_text("an objective", name));
    if (s->objective_count == TN_MOST_OBJECTIVES)
        return tn_fail(TN_E_LIMIT, "a study has up to %d objectives", TN_MOST_OBJECTIVES);
    for (int i = 0; i < s->objective_count; i++)
        if (strcmp(s->objectives[i], name) == 0)
            return tn_fail(TN_E_INVALID, "the objective '%.80s' is there already", name);
    const char *own = tn_region_strdup(s->region, name);
    if (!own) return TN_E_MEMORY;
    s->maximize[s->objective_count] = maximize;
    s->objectives[s->objective_count++] = own;
    return TN_OK;
}

bool tn_takes_part(const tn_study *s, int d, const double *x) {
    const tn_dimension *own = &s->dimensions[d];
    return own->parent < 0 || x[own->parent] == own->choice; /* a NaN is no choice */
}

double tn_dimension_round(const tn_dimension *d, double x) {
    if (d->step > 0) x = d->low + floor((x - d->low) / d->step + 0.5) * d->step;
    return fmin(fmax(x, d->low), d->high);
}

tn_status tn_study_parameter(tn_study *s, int index, tn_parameter *out) {
    if (index < 0 || index >= s->dimension_count)
        return tn_fail(TN_E_NOT_FOUND, "there is no parameter %d; the study has %d", index, s->dimension_count);
    const tn_dimension *d = &s->dimensions[index];
    const tn_parameter p = {.struct_size = out->struct_size,
                            .name = d->name,
                            .kind = d->kind,
                            .low = d->low,
                            .high = d->high,
                            .step = d->kind == TN_PARAMETER_CHOICE ? 0 : d->step,
                            .logarithm = d->logarithm,
                            .count = d->count,
                            .choices = d->choices};
    memcpy(out, &p, TN_MIN(out->struct_size, sizeof p));
    return TN_OK;
}

tn_status tn_study_objective(tn_study *s, int index, const char **out_name, bool *out_maximize) {
    if (index < 0 || index >= s->objective_count)
        return tn_fail(TN_E_NOT_FOUND, "there is no objective %d; the study has %d", index, s->objective_count);
    *out_name = s->objectives[index];
    if (out_maximize) *out_maximize = s->maximize[index];
    return TN_OK;
}
