/* What each command does before it does its own: load a model, give its inputs contents, prepare a session. */
#include "tool.h"
#include <stdlib.h>
#include <string.h>

static bool host_check(host *h, const char *what, tn_status status) {
    if (status == TN_OK) return true;
    h->status = status;
    return complain_status(what, status);
}

static void on_pass(void *context, const char *pass, int before, int after, int changes) {
    host *h = context;
    if (!h->pass_count) h->node_count = before;
    if (h->pass_count < (int)(sizeof h->passes / sizeof h->passes[0]))
        h->passes[h->pass_count++] = (pass_row){pass, before, after, changes};
}

static bool read_weights(const char *name, tn_weights_place *out) {
    static const char *const names[] = {"auto", "in-place", "packed"};
    for (int i = TN_WEIGHTS_AUTO; i <= TN_WEIGHTS_PACKED; i++)
        if (!name || strcmp(name, names[i]) == 0) {
            *out = (tn_weights_place)i;
            return true;
        }
    fprintf(stderr, "tenon: --weights-place is %s; expected auto, in-place or packed\n", name);
    return false;
}

bool host_load(host *h, const settings *s) {
    *h = (host){.settings = s, .stage = "load", .node_count = -1};
    tn_model_options options = {.struct_size = sizeof options,
                                .cpu = s->cpu,
                                .skip_passes = s->skip_passes,
                                .on_pass = on_pass,
                                .context = h,
                                .verify_weights = s->verify,
                                .packed_folder = s->packed};
    if (s->precision && strcmp(s->precision, "fast") == 0) {
        options.precision = TN_PRECISION_FAST;
    } else if (s->precision && strcmp(s->precision, "full") != 0) {
        fprintf(stderr, "tenon: --precision is %s; expected full or fast\n", s->precision);
        return false;
    }
    if (!read_weights(s->place, &options.weights)) return false;
    progress(s, "loading %s", s->model);
    double start = now_ms();
    if (!host_check(h, s->model, tn_model_load(s->model, &options, &h->model))) return false;
    h->load_ms = now_ms() - start;
    return true;
}

/* "NAME=REST": whether it is about `name`, and then the rest. */
static const char *about(const char *word, const char *name) {
    size_t length = strlen(name);
    return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static bool parse_dim(const char *word, const char *text, char stop, int64_t *out, const char **end) {
    char *after;
    *out = strtoll(text, &after, 10);
    *end = after + (*after && *after == stop);
    if (after != text && *out >= 0 && (!*after || *after == stop)) return true;
    complain("'%s': sizes are whole numbers, not '%s'", word, text);
    return false;
}

/* Whether an input that is no list has the symbol as its first dimension, which is mostly a number of inputs. */
static bool is_leading(const host *h, const char *symbol) {
    tn_value_info info;
    for (int i = 0; symbol && i < tn_model_input_count(h->model); i++)
        if (tn_model_input_info(h->model, i, &info) == TN_OK && info.rank > 1 && info.symbols[0] &&
            strcmp(info.symbols[0], symbol) == 0)
            return true;
    return false;
}

/* The first dimension of several stays 1, wherever it stands. size_of_open: see host_start. */
static bool input_dims(host *h, int64_t size_of_open, const tn_value_info *info, int *out_rank, int64_t *dims) {
    const settings *s = h->settings;
    const char *text = NULL, *word = NULL, *end;
    for (size_t i = 0; i < s->shapes.count; i++)
        if (about(s->shapes.items[i], info->name)) text = about(word = s->shapes.items[i], info->name);
    *out_rank = 0;
    if (text) {
        for (; *text; text = end) {
            if (*out_rank == TN_MAX_RANK) {
                complain("'%s': tensors have up to %d dimensions", word, TN_MAX_RANK);
                return false;
            }
            if (!parse_dim(word, text, ',', &dims[(*out_rank)++], &end)) return false;
        }
        return true;
    }
    if (info->rank > 0) *out_rank = info->rank;
    int open_count = 0, first_open = size_of_open < 0 ? *out_rank - 1 : *out_rank > 1;
    if (size_of_open < 0) size_of_open = -size_of_open;
    for (int i = *out_rank ? first_open : 0; i < *out_rank; i++)
        open_count += info->dims[i] < 0 && !is_leading(h, info->symbols[i]);
    if (open_count > 1 && size_of_open > 320) size_of_open = 320; /* two of a second of sound are too much */
    for (int i = 0; i < *out_rank; i++) {
        bool open = info->dims[i] < 0;
        dims[i] = open ? 1 : info->dims[i];
        for (size_t k = 0; info->symbols[i] && k < s->dims.count; k++) {
            const char *size = about(s->dims.items[k], info->symbols[i]);
            if (size && !parse_dim(s->dims.items[k], size, 0, &dims[i], &end)) return false;
            if (size) open = false;
        }
        if (open && i >= first_open && !is_leading(h, info->symbols[i])) h->open_size = dims[i] = size_of_open;
    }
    return true;
}

/* A name that the model does not have is a slip of the caller's, which must not pass in silence. */
static bool check_names(const host *h) {
    const settings *s = h->settings;
    const words *lists[] = {&s->inputs, &s->shapes, &s->values, &s->dims};
    enum { DIMS = 3, LISTS };
    for (int l = 0; l < LISTS; l++)
        for (size_t k = 0; k < lists[l]->count; k++) {
            const char *word = lists[l]->items[k];
            bool known = l == 0 && !strchr(word, '=');
            for (int i = 0; i < tn_model_input_count(h->model) && !known; i++) {
                tn_value_info info;
                if (tn_model_input_info(h->model, i, &info) != TN_OK) continue;
                known = l < DIMS && about(word, info.name);
                for (int d = 0; l == DIMS && d < info.rank && !known; d++)
                    known = info.symbols[d] && about(word, info.symbols[d]);
            }
            if (known) continue;
            complain("'%s': the model has no such %s; tenon inspect shows them", word,
                     l < DIMS ? "input" : "symbolic dimension");
            return false;
        }
    return true;
}

static tn_tensor **keep(host *h, tn_tensor *t) {
    tn_tensor **grown = realloc(h->tensors, (h->tensor_count + 1) * sizeof *grown);
    if (!grown) abort();
    h->tensors = grown;
    grown[h->tensor_count] = t;
    return &grown[h->tensor_count++];
}

/* The file for the k-th tensor of this input, "" if there is none. */
static void input_path(const settings *s, const tn_value_info *info, int index, size_t k, char *path, size_t size) {
    path[0] = 0;
    for (size_t i = 0, found = 0; i < s->inputs.count; i++) {
        const char *word = s->inputs.items[i], *named = about(word, info->name);
        if (named && found++ == k)
            snprintf(path, size, "%s", named);
        else if (!strchr(word, '=') && k == 0 && ends_with(word, ".npz"))
            snprintf(path, size, "%s:%s", word, info->name);
        else if (!strchr(word, '=') && k == 0 && is_folder(word))
            snprintf(path, size, "%s/input_%d.pb", word, index);
        else if (!strchr(word, '=') && k == 0 && index == 0)
            snprintf(path, size, "%s", word);
    }
}

static bool set_input(host *h, int64_t size_of_open, int index, uint64_t *random) {
    tn_value_info info;
    char path[4096];
    if (!host_check(h, "input", tn_model_input_info(h->model, index, &info))) return false;
    size_t first = h->tensor_count;
    for (size_t k = 0;; k++) {
        input_path(h->settings, &info, index, k, path, sizeof path);
        if (!path[0]) break;
        tn_tensor *t;
        if (!tensor_load(path, info.dtype, &t)) return false;
        keep(h, t);
    }
    if (h->tensor_count == first) {
        int rank;
        int64_t dims[TN_MAX_RANK];
        tn_tensor *t;
        if (strcmp(info.kind, "other") == 0) {
            complain("input '%s' is neither a tensor nor a sequence", info.name);
            return false;
        }
        if (strcmp(info.kind, "optional") == 0 && !info.dtype)
            return host_check(h, info.name, tn_session_set_input_none(h->session, index));
        if (!input_dims(h, size_of_open, &info, &rank, dims)) return false;
        settings of_input = *h->settings;
        for (size_t k = 0; k < of_input.values.count; k++) {
            const char *value = about(of_input.values.items[k], info.name);
            char *end = NULL;
            if (!value) continue;
            of_input.low = of_input.high = strtod(value, &end);
            if (end != value && !*end) continue;
            complain("--value %s: expected a number", of_input.values.items[k]);
            return false;
        }
        if (!tensor_random(&of_input, random, info.dtype, rank, dims, &t)) return false;
        keep(h, t);
    }
    char text[256];
    const tn_graph *graph = tn_model_graph(h->model);
    tn_graph_value_text(graph, tn_graph_input_value(graph, index), text, sizeof text);
    tn_tensor *const *made = h->tensors + first;
    size_t count = h->tensor_count - first;
    if (strstr(text, "sequence of"))
        return host_check(h, info.name,
                          tn_session_set_input_sequence(h->session, index, tn_tensor_dtype(made[0]), count,
                                                        (const tn_tensor *const *)made));
    return host_check(h, info.name, tn_session_set_input(h->session, index, made[0]));
}

/* False with the status of a preparation that failed, or with TN_OK and the rest said. */
static bool start(host *h, bool profile, int64_t size_of_open, tn_status *prepared) {
    const settings *s = h->settings;
    tn_session_options options = {
        .struct_size = sizeof options, .threads = (int)s->threads, .seed = (uint64_t)s->seed, .profile = profile};
    uint64_t random = (uint64_t)s->seed;
    *prepared = TN_OK;
    h->open_size = 0;
    h->stage = "session";
    if (!host_check(h, s->model, tn_session_create(h->model, &options, &h->session))) return false;
    watch(h->session);
    h->stage = "inputs";
    for (int i = 0; i < tn_model_input_count(h->model); i++)
        if (!set_input(h, size_of_open, i, &random)) return false;
    h->stage = "prepare";
    progress(s, "preparing");
    double begin = now_ms();
    *prepared = tn_session_prepare(h->session);
    h->prepare_ms = now_ms() - begin;
    return *prepared == TN_OK;
}

bool host_start(host *h, bool profile) {
    /* Letters, small pictures, lines of text, pictures, a second of sound; negative: of last dimensions alone, as where sound comes with
     * a state. And 1 once more, so that its failure is the one to be told. */
    static const int64_t sizes[] = {1, 32, 48, 320, -320, 16000, -16000, 1};
    tn_status prepared = TN_OK;
    h->stage = "session";
    if (!check_names(h)) return false;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (i) host_stop(h);
        if (start(h, profile, sizes[i], &prepared)) break;
        if (prepared == TN_OK) return false;
        bool other = prepared == TN_E_SHAPE || prepared == TN_E_INVALID || prepared == TN_E_LIMIT;
        if (!h->open_size || !other || interrupted()) break;
    }
    if (!host_check(h, h->settings->model, prepared)) return false;
    h->stage = "run";
    return true;
}

bool host_run(host *h) {
    if (interrupted()) return false;
    tn_status status = tn_session_run(h->session);
    if (status == TN_E_INTERRUPTED && interrupted()) return false;
    return host_check(h, h->settings->model, status);
}

void host_stop(host *h) {
    watch(NULL);
    tn_session_destroy(h->session);
    h->session = NULL;
    outputs_free(h->tensor_count, h->tensors);
    h->tensors = NULL;
    h->tensor_count = 0;
}

void host_close(host *h) {
    host_stop(h);
    tn_model_destroy(h->model);
    h->model = NULL;
}

void outputs_free(size_t count, tn_tensor **tensors) {
    for (size_t i = 0; i < count; i++) tn_tensor_destroy(tensors[i]);
    free(tensors);
}

bool host_output(host *h, int index, size_t *out_count, tn_tensor ***out_tensors) {
    char text[256];
    const tn_graph *graph = tn_model_graph(h->model);
    tn_graph_value_text(graph, tn_graph_output_value(graph, index), text, sizeof text);
    bool sequence = strstr(text, "sequence of") != NULL;
    *out_count = 1;
    *out_tensors = NULL;
    if (sequence && !host_check(h, "output", tn_session_output_length(h->session, index, out_count))) return false;
    *out_tensors = tool_alloc(*out_count, sizeof **out_tensors);
    for (size_t i = 0; i < *out_count; i++) {
        const tn_tensor *t = NULL;
        tn_status status =
            sequence ? tn_session_output_element(h->session, index, i, &t) : tn_session_output(h->session, index, &t);
        if (status == TN_OK && !t) {
            *out_count = 0;
            return true;
        }
        if (status == TN_OK) status = tn_tensor_clone(t, NULL, &(*out_tensors)[i]);
        if (status == TN_OK) continue;
        outputs_free(i, *out_tensors);
        *out_tensors = NULL;
        *out_count = 0;
        return host_check(h, "output", status);
    }
    return true;
}
