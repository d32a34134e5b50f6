/* The file of a study: JSON, a line each. The first says what the study is; a file whose first line is another is of another
 * study. Each line behind it is a trial that has ended, or that waits at a rung; of one that went on from there the last line
 * counts:
 *
 *     {"trial": 3, "state": "complete", "parameters": {"rate": 0.01, "activation": "relu"}, "values": [0.12], "rungs": [0.4]}
 *     {"trial": 4, "state": "failed", "parameters": {"rate": 0.09, "activation": "tanh"}, "why": "'loss' is nan"}
 *
 * Lines are added behind the last whole one and flushed. JSON is YAML, so that the reader of manifests reads it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/output.h"
#include "base/text.h"
#include "model/manifest.h"
#include "ops/cast_text.h"
#include "tune/study.h"

#define MOST_BYTES (1u << 30)
static const char *const states[] = {"running", "complete", "pruned", "failed"};

static void put_number(tn_text *t, double x) {
    char text[TN_NUMBER_TEXT];
    tn_double_to_text(x, text);
    tn_put_text(t, text);
}

static void put_field(tn_text *t, const char *name, double x) {
    tn_put_format(t, ", \"%s\": ", name);
    put_number(t, x);
}

static void put_dimension(const tn_study *s, const tn_dimension *d, tn_text *t) {
    static const char *const kinds[] = {"float", "int", "choice"};
    tn_put_text(t, "{\"name\": ");
    tn_put_string(t, d->name);
    tn_put_format(t, ", \"kind\": \"%s\"", kinds[d->kind]);
    if (d->kind != TN_PARAMETER_CHOICE) {
        put_field(t, "low", d->low);
        put_field(t, "high", d->high);
        put_field(t, "step", d->step);
        tn_put_format(t, ", \"log\": %s", d->logarithm ? "true" : "false");
    }
    for (int i = 0; i < d->count; i++) {
        tn_put_text(t, i ? ", " : ", \"choices\": [");
        tn_put_string(t, d->choices[i]);
    }
    if (d->count) tn_put_text(t, "]");
    if (d->parent >= 0) {
        tn_put_text(t, ", \"where\": ");
        tn_put_string(t, s->dimensions[d->parent].name);
        tn_put_text(t, ", \"is\": ");
        tn_put_string(t, s->dimensions[d->parent].choices[d->choice]);
    }
    tn_put_text(t, "}");
}

static void put_study(const tn_study *s, tn_text *t) {
    const tn_study_options *o = &s->options;
    tn_put_text(t, "{\"study\": 1, \"subject\": ");
    tn_put_string(t, o->subject);
    tn_put_format(t, ", \"seed\": %llu, \"sampler\": \"%s\", \"joint\": %d, \"startup\": %d, \"candidates\": %d, ",
                  (unsigned long long)o->seed, o->sampler == TN_SAMPLER_RANDOM ? "random" : "tpe", (int)o->joint,
                  o->startup, o->candidates);
    tn_put_format(t, "\"first\": %lld, \"reduction\": %lld, %s\"parameters\": [", (long long)o->first,
                  (long long)o->reduction, o->promote ? "\"promote\": true, " : "");
    for (int i = 0; i < s->dimension_count; i++) {
        if (i) tn_put_text(t, ", ");
        put_dimension(s, &s->dimensions[i], t);
    }
    tn_put_text(t, "], \"objectives\": [");
    for (int i = 0; i < s->objective_count; i++) {
        tn_put_text(t, i ? ", {\"name\": " : "{\"name\": ");
        tn_put_string(t, s->objectives[i]);
        tn_put_format(t, ", \"maximize\": %s}", s->maximize[i] ? "true" : "false");
    }
    tn_put_text(t, "]}\n");
}

static void put_numbers(tn_text *t, const char *name, const double *x, int count) {
    tn_put_format(t, ", \"%s\": [", name);
    for (int i = 0; i < count; i++) {
        if (i) tn_put_text(t, ", ");
        put_number(t, fmin(fmax(x[i], -1.7976931348623157e308), 1.7976931348623157e308)); /* JSON has no infinity */
    }
    tn_put_text(t, "]");
}

static void put_try(const tn_study *s, const tn_try *t, tn_text *text) {
    const char *between = "";
    tn_put_format(text, "{\"trial\": %lld, \"state\": \"%s\", \"parameters\": {", (long long)t->number,
                  states[t->state]);
    for (int i = 0; i < s->dimension_count; i++) {
        if (isnan(t->x[i])) continue;
        tn_put_text(text, between);
        tn_put_string(text, s->dimensions[i].name);
        tn_put_text(text, ": ");
        if (s->dimensions[i].kind == TN_PARAMETER_CHOICE)
            tn_put_string(text, s->dimensions[i].choices[(int)t->x[i]]);
        else
            put_number(text, t->x[i]);
        between = ", ";
    }
    tn_put_text(text, "}");
    if (t->values) put_numbers(text, "values", t->values, s->objective_count);
    if (t->rungs) {
        put_numbers(text, "rungs", t->reached, t->rungs);
        tn_put_format(text, ", \"maximize\": %s", t->maximize ? "true" : "false");
    }
    if (t->sentence) {
        tn_put_text(text, ", \"why\": ");
        tn_put_string(text, t->sentence);
    }
    tn_put_text(text, "}\n");
}

/* ---- writing ---- */

static tn_status write_all(tn_study *s, const tn_text *t) {
    if (t->failed) return TN_E_MEMORY;
    if (s->broken)
        return tn_fail(TN_E_STATE, "'%s' could not be written before; open the study again to go on", s->path);
    for (size_t done = 0; done < t->used;) {
        ssize_t n = write(s->file, t->data + done, t->used - done);
        if (n < 0 && errno == EINTR) continue;
        if (n >= 0) {
            done += (size_t)n;
            continue;
        }
        s->broken = true;
        return tn_fail(TN_E_IO, "cannot write '%s': %s", s->path, strerror(errno));
    }
    if (fsync(s->file) == 0) return TN_OK;
    s->broken = true;
    return tn_fail(TN_E_IO, "cannot flush '%s': %s", s->path, strerror(errno));
}

tn_status tn_study_file_add(tn_study *s, const tn_try *t) {
    if (s->file < 0) return TN_OK;
    tn_text text = {.region = tn_region_create(NULL)};
    if (!text.region) return TN_E_MEMORY;
    put_try(s, t, &text);
    tn_status status = write_all(s, &text);
    tn_region_destroy(text.region);
    return status;
}

void tn_study_file_close(tn_study *s) {
    if (s->file >= 0) close(s->file);
    s->file = -1;
}

/* ---- reading ---- */

static bool read_number(const tn_manifest_node *node, double *out) {
    return node && node->text && !node->quoted &&
           tn_number_from_text(TN_FLOAT64, out, 0, tn_string_of(node->text), (tn_narrowing){0}) == TN_OK &&
           isfinite(*out);
}

static tn_status read_numbers(const tn_manifest_node *list, const char *name, int least, int most, double *out) {
    int i = 0;
    bool good = list && list->kind == TN_MANIFEST_LIST && list->count >= least && list->count <= most;
    for (const tn_manifest_node *child = good ? list->first : NULL; child; child = child->next)
        good = good && read_number(child, &out[i++]);
    return good ? TN_OK : tn_fail(TN_E_FORMAT, "'%s' is not a list of %d to %d numbers", name, least, most);
}

static tn_status read_parameter(const tn_study *s, int index, const tn_manifest_node *node, tn_try *t) {
    const tn_dimension *d = &s->dimensions[index];
    double x = NAN;
    if (!tn_takes_part(s, index, t->x)) {
        if (!node) return TN_OK;
    } else if (node && d->kind == TN_PARAMETER_CHOICE) {
        for (int i = 0; i < d->count; i++)
            if (node->text && strcmp(node->text, d->choices[i]) == 0) x = i;
    } else if (read_number(node, &x) && !(x >= d->low && x <= d->high)) {
        x = NAN;
    }
    if (isnan(x)) return tn_fail(TN_E_FORMAT, "the parameter '%.80s' is not what it can be", d->name);
    t->x[index] = x;
    return TN_OK;
}

static tn_status read_try(tn_study *s, const tn_manifest_node *root) {
    double number, values[TN_MOST_OBJECTIVES];
    int state = TN_COUNT(states) - 1;
    tn_try *t;
    const tn_manifest_node *word = tn_manifest_child(root, "state"), *rungs = tn_manifest_child(root, "rungs"),
                           *parameters = tn_manifest_child(root, "parameters"), *why = tn_manifest_child(root, "why"),
                           *maximize = tn_manifest_child(root, "maximize");
    if (!read_number(tn_manifest_child(root, "trial"), &number) || number != floor(number) || number < 0 ||
        number >= TN_MOST_TRIALS)
        return tn_fail(TN_E_FORMAT, "'trial' is not a whole number below %d", TN_MOST_TRIALS);
    const tn_try *before = (int64_t)number < s->end ? s->tries[(int64_t)number] : NULL;
    if (before && (!s->options.promote || before->state != TN_TRIAL_PRUNED))
        return tn_fail(TN_E_FORMAT, "trial %.0f stands twice", number);
    while (state && (!word || !word->text || strcmp(word->text, states[state]) != 0)) state--;
    if (!state) return tn_fail(TN_E_FORMAT, "'state' is not complete, pruned or failed");
    if (!parameters || parameters->kind != TN_MANIFEST_MAP) return tn_fail(TN_E_FORMAT, "'parameters' is no map");
    TN_TRY(tn_study_place(s, (int64_t)number, &t));
    for (int i = 0; i < s->dimension_count; i++)
        TN_TRY(read_parameter(s, i, tn_manifest_child(parameters, s->dimensions[i].name), t));
    if (state == TN_TRIAL_COMPLETE) {
        TN_TRY(
            read_numbers(tn_manifest_child(root, "values"), "values", s->objective_count, s->objective_count, values));
        if (!(t->values = tn_region_array(s->region, TN_MOST_OBJECTIVES, sizeof *values))) return TN_E_MEMORY;
        memcpy(t->values, values, (size_t)s->objective_count * sizeof *values);
    }
    if (rungs) TN_TRY(read_numbers(rungs, "rungs", 1, TN_MOST_RUNGS, t->reached));
    t->rungs = rungs ? rungs->count : 0;
    if (before && t->rungs < before->rungs)
        return tn_fail(TN_E_FORMAT, "trial %.0f has fewer rungs than in a line before", number);
    t->maximize = maximize && maximize->text && strcmp(maximize->text, "true") == 0;
    if (why && why->text && !(t->sentence = tn_region_strdup(s->region, why->text))) return TN_E_MEMORY;
    t->state = (tn_trial_state)state;
    s->ended += !before;
    return TN_OK;
}

tn_status tn_study_read(tn_study *s, const char *text, size_t size, size_t *out_whole) {
    tn_region *region = tn_region_create(NULL);
    tn_status status = region ? TN_OK : TN_E_MEMORY;
    *out_whole = 0;
    for (int line = 2; status == TN_OK && *out_whole < size; line++) {
        const char *begin = text + *out_whole, *stop = memchr(begin, '\n', size - *out_whole);
        tn_manifest_node *root;
        if (!stop) break;
        size_t length = (size_t)(stop - begin);
        tn_region_reset(region);
        status = tn_manifest_read_yaml((tn_string){begin, length}, region, &root);
        if (status == TN_E_FORMAT && *out_whole + length + 1 == size) { /* blocks that a power cut left unwritten */
            status = TN_OK;
            break;
        }
        if (status == TN_OK) status = read_try(s, root);
        if (status != TN_OK) tn_fail_context(status, "trial of line %d", line);
        *out_whole += length + 1;
    }
    tn_region_destroy(region);
    return status;
}

/* Of a file that is open and ours: the lines of this study, or none and then the first one is written. */
static tn_status take(tn_study *s, const tn_text *first, const char *data, size_t size) {
    const char *stop = size ? memchr(data, '\n', size) : NULL;
    size_t length = stop ? (size_t)(stop - data) + 1 : 0, whole = 0;
    bool same = length == first->used && memcmp(data, first->data, length) == 0;
    bool torn = !stop && size < first->used && memcmp(data, first->data, size) == 0;
    if (!same && !torn)
        return tn_fail(TN_E_INVALID,
                       "it is no file of this study: its first line is not as these parameters, objectives, "
                       "options and seed have it; take another file, or remove this one to begin anew");
    if (same) TN_TRY(tn_study_read(s, data + length, size - length, &whole));
    if (ftruncate(s->file, same ? (off_t)(length + whole) : 0) != 0 || lseek(s->file, 0, SEEK_END) < 0)
        return tn_fail(TN_E_IO, "cannot write: %s", strerror(errno));
    if (same) return TN_OK;
    TN_TRY(write_all(s, first));
    return tn_output_flush_folder(s->path);
}

static tn_status read_file(tn_study *s, const tn_text *first) {
    struct stat info;
    if (flock(s->file, LOCK_EX | LOCK_NB) != 0) return tn_fail(TN_E_STATE, "another process has this study open");
    if (fstat(s->file, &info) != 0 || !S_ISREG(info.st_mode)) return tn_fail(TN_E_IO, "it is no regular file");
    if (info.st_size > (off_t)MOST_BYTES) return tn_fail(TN_E_LIMIT, "it is larger than 1 GiB");
    size_t size = (size_t)info.st_size, done = 0;
    char *data = tn_alloc(NULL, size + 1);
    if (!data) return TN_E_MEMORY;
    tn_status status = TN_OK;
    while (done < size && status == TN_OK) {
        ssize_t n = read(s->file, data + done, size - done);
        if (n == 0 || (n < 0 && errno != EINTR))
            status = tn_fail(TN_E_IO, "cannot be read: %s", n ? strerror(errno) : "it became shorter");
        else if (n > 0)
            done += (size_t)n;
    }
    if (status == TN_OK) status = take(s, first, data, size);
    tn_free(NULL, data, size + 1);
    return status;
}

tn_status tn_study_file_open(tn_study *s, const char *path) {
    tn_text first = {.region = s->region};
    if (!TN_WITH_YAML)
        return tn_fail(TN_E_UNSUPPORTED, "this build has no libyaml (WITH_YAML=0): studies stay in memory");
    put_study(s, &first);
    s->path = tn_region_strdup(s->region, path);
    if (first.failed || !s->path) return TN_E_MEMORY;
    s->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (s->file < 0) return tn_fail(TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    tn_status status = read_file(s, &first);
    if (status == TN_OK) return TN_OK;
    tn_study_file_close(s);
    if (s->end) memset(s->tries, 0, (size_t)s->end * sizeof *s->tries);
    s->end = s->ended = 0;
    return tn_fail_context(status, "study '%s'", path);
}
