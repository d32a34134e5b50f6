/* Studies of plans: what the YAML says. See tenon/tune.h. */
#include "data/keys.h"
#include "tune/tuning.h"

/* What the file says, before it is anything. */
typedef struct draft {
    const tn_manifest_node *plan, *sampler_node, *halving_node, *objectives, *space;
    const char *name, *study;
    int64_t trials, jobs, seed, startup, candidates, first, reduction;
    int kind, joint;
    bool promote;
} draft;

static const char *const sampler_words[] = {"tpe", "random", NULL};
static const char *const joint_words[] = {"auto", "all", "each", NULL};

#define AT(field) offsetof(draft, field)
static const tn_key root_keys[] = {
    {"plan", TN_KEY_NODE, AT(plan), 0, 0, NULL},
    {"name", TN_KEY_TEXT, AT(name), 0, 0, NULL},
    {"study", TN_KEY_TEXT, AT(study), 0, 0, NULL},
    {"trials", TN_KEY_WHOLE, AT(trials), 1, TN_MOST_TRIALS, NULL},
    {"jobs", TN_KEY_WHOLE, AT(jobs), 1, 256, NULL},
    {"seed", TN_KEY_WHOLE, AT(seed), 0, 0x1p53, NULL},
    {"sampler", TN_KEY_NODE, AT(sampler_node), 0, 0, NULL},
    {"halving", TN_KEY_NODE, AT(halving_node), 0, 0, NULL},
    {"objectives", TN_KEY_NODE, AT(objectives), 0, 0, NULL},
    {"space", TN_KEY_NODE, AT(space), 0, 0, NULL},
    {0},
};
static const tn_key sampler_keys[] = {
    {"kind", TN_KEY_WORD, AT(kind), 0, 0, sampler_words},
    {"joint", TN_KEY_WORD, AT(joint), 0, 0, joint_words},
    {"startup", TN_KEY_WHOLE, AT(startup), 1, 1e6, NULL},
    {"candidates", TN_KEY_WHOLE, AT(candidates), 1, 1e4, NULL},
    {0},
};
static const tn_key halving_keys[] = {
    {"first", TN_KEY_WHOLE, AT(first), 1, 1e6, NULL},
    {"reduction", TN_KEY_WHOLE, AT(reduction), 2, 1e6, NULL},
    {"promote", TN_KEY_SWITCH, AT(promote), 0, 0, NULL},
    {0},
};

/* ---- the space ---- */

enum { RANGE_FLOAT, RANGE_LOG, RANGE_INT, RANGE_LOG_INT, RANGES };

typedef struct entry {
    const tn_manifest_node *ranges[RANGES], *choose, *where;
    double step;
} entry;

#define OF(field) offsetof(entry, field)
static const tn_key entry_keys[] = {
    {"float", TN_KEY_NODE, OF(ranges[RANGE_FLOAT]), 0, 0, NULL},
    {"log", TN_KEY_NODE, OF(ranges[RANGE_LOG]), 0, 0, NULL},
    {"int", TN_KEY_NODE, OF(ranges[RANGE_INT]), 0, 0, NULL},
    {"log_int", TN_KEY_NODE, OF(ranges[RANGE_LOG_INT]), 0, 0, NULL},
    {"choose", TN_KEY_NODE, OF(choose), 0, 0, NULL},
    {"step", TN_KEY_NUMBER, OF(step), 1e-300, 0x1p53, NULL},
    {"where", TN_KEY_NODE, OF(where), 0, 0, NULL},
    {0},
};

static tn_status add_choices(tn_tuning *t, const tn_manifest_node *list, const char *name) {
    const char *labels[TN_MOST_CHOICES];
    int count = 0;
    if (list->kind != TN_MANIFEST_LIST || list->count < 1 || list->count > TN_MOST_CHOICES)
        return tn_key_fail(list, "'choose' is a list of up to %d", TN_MOST_CHOICES);
    for (const tn_manifest_node *child = list->first; child; child = child->next)
        TN_TRY(tn_tuning_label(child, t->region, &labels[count++]));
    return tn_study_add_choice(t->study, name, labels, count);
}

static tn_status add_range(tn_tuning *t, int range, const entry *e, const char *name) {
    const tn_manifest_node *list = e->ranges[range];
    bool whole = range >= RANGE_INT;
    const tn_key key = {
        .name = name, .kind = TN_KEY_NUMBER, .low = whole ? -0x1p53 : -1e300, .high = whole ? 0x1p53 : 1e300};
    double ends[2];
    if (list->kind != TN_MANIFEST_LIST || list->count != 2)
        return tn_key_fail(list, "'%.80s' goes from a number to another: [low, high]", name);
    TN_TRY(tn_key_read(list->first, &key, &ends[0]));
    TN_TRY(tn_key_read(list->last, &key, &ends[1]));
    if (!whole) return tn_study_add_float(t->study, name, ends[0], ends[1], e->step, range == RANGE_LOG);
    if (ends[0] != floor(ends[0]) || ends[1] != floor(ends[1]) || e->step != floor(e->step))
        return tn_key_fail(list, "'%.80s' is whole: so are its ends and its step", name);
    return tn_study_add_int(t->study, name, (int64_t)ends[0], (int64_t)ends[1], (int64_t)e->step,
                            range == RANGE_LOG_INT);
}

static tn_status add_entry(tn_tuning *t, const tn_manifest_node *node) {
    entry e = {0};
    int range = -1, given = 0, index = t->study->dimension_count;
    TN_TRY(tn_keys_read(node, entry_keys, &e));
    for (int i = 0; i < RANGES; i++)
        if (e.ranges[i]) range = i, given++;
    if (given + !!e.choose != 1)
        return tn_key_fail(node, "'%.80s' is one of float, log, int, log_int and choose", node->key);
    tn_status status = e.choose ? add_choices(t, e.choose, node->key) : add_range(t, range, &e, node->key);
    if (status == TN_OK && e.choose && e.step > 0) status = tn_fail(TN_E_FORMAT, "'choose' has no step");
    if (status == TN_OK && e.where) {
        const tn_manifest_node *is = e.where->first;
        const char *label;
        if (e.where->kind != TN_MANIFEST_MAP || e.where->count != 1)
            return tn_key_fail(e.where, "'where' is a map of one: another parameter and its choice");
        TN_TRY(tn_tuning_label(is, t->region, &label));
        status = tn_study_add_condition(t->study, node->key, is->key, label);
    }
    if (status != TN_OK)
        return strncmp(tn_last_error(), "line ", 5) == 0 ? status : tn_fail_context(status, "line %d", node->line);
    t->knobs[index] = (tn_knob){node->key, e.choose};
    return TN_OK;
}

/* ---- objectives ---- */

static bool is_metric(const char *name) {
    const char *known;
    for (int i = 0; (known = tn_metric_name(i)); i++)
        if (strcmp(known, name) == 0) return true;
    return false;
}

/* What is measured besides metrics. */
static bool is_cost(const char *name) {
    return strcmp(name, TN_OBJECTIVE_LOSS) == 0 || strcmp(name, TN_OBJECTIVE_LATENCY) == 0 ||
           strcmp(name, TN_OBJECTIVE_SIZE) == 0;
}

static tn_status add_objectives(tn_tuning *t, const tn_manifest_node *list) {
    if (!list) return tn_study_add_objective(t->study, TN_OBJECTIVE_LOSS, false);
    if (list->kind != TN_MANIFEST_LIST || !list->count)
        return tn_key_fail(list, "'objectives' is a list, as [accuracy, latency]");
    for (const tn_manifest_node *child = list->first; child; child = child->next) {
        if (!child->text || (!is_cost(child->text) && !is_metric(child->text)))
            return tn_key_fail(child,
                               "there is no objective '%.40s'; there are loss, latency, size and the metrics of "
                               "tenon/metrics.h",
                               child->text ? child->text : "a list or map");
        bool falls = is_cost(child->text) || tn_metric_falls(child->text);
        TN_TRY(tn_study_add_objective(t->study, child->text, !falls));
    }
    return TN_OK;
}

/* ---- the plan ---- */

static tn_status read_plan(tn_tuning *t, const tn_manifest_node *node) {
    t->prefix = "";
    if (node->kind == TN_MANIFEST_MAP) {
        return tn_tuning_print(node, t->region, &t->plan);
    }
    if (!node->text || !*node->text) return tn_key_fail(node, "'plan' is a path, or the plan itself as a map");
    const char *slash = strrchr(node->text, '/');
    if (slash && !(t->prefix = tn_region_strndup(t->region, node->text, (size_t)(slash - node->text) + 1)))
        return TN_E_MEMORY;
    const char *path = node->text, *folder;
    TN_TRY(tn_keys_place(&path, t->folder, t->region));
    return tn_keys_load(path, t->region, &t->plan, &folder);
}

/* The plan with all parameters at one end of their ranges, with all choices in turn, is one. */
static tn_status try_plan(tn_tuning *t, int turn, const char **out_name) {
    const tn_study *s = t->study;
    double x[TN_MOST_PARAMETERS];
    tn_string text;
    tn_plan *plan;
    for (int i = 0; i < s->dimension_count; i++) {
        const tn_dimension *d = &s->dimensions[i];
        x[i] = !tn_takes_part(s, i, x) ? NAN : d->count ? turn % d->count : turn % 2 ? d->high : d->low;
    }
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = tn_tuning_plan(t, x, region, &text);
    if (status == TN_OK) {
        status = tn_plan_parse(text.data, text.size, t->folder, &plan);
        if (status == TN_OK && plan->validation == 0)
            status =
                tn_fail(TN_E_INVALID, "it has no rows for validation, which objectives are measured on: give train "
                                      "a 'validation', as 0.2");
        if (status == TN_OK) *out_name = tn_region_strdup(t->region, plan->name);
        if (status == TN_OK && !*out_name) status = TN_E_MEMORY;
        if (plan) tn_plan_destroy(plan);
        if (status != TN_OK) tn_fail_context(status, "the plan with parameters from the space");
    }
    tn_region_destroy(region);
    return status;
}

static tn_status check_plan(tn_tuning *t) {
    int turns = 2;
    const char *name = NULL;
    for (int i = 0; i < t->study->dimension_count; i++) turns = TN_MAX(turns, t->study->dimensions[i].count);
    for (int turn = 0; turn < TN_MIN(turns, 64); turn++) TN_TRY(try_plan(t, turn, &name));
    if (!t->name) t->name = name;
    return TN_OK;
}

/* ---- all of it ---- */

static tn_status make_study(tn_tuning *t, const draft *d) {
    char subject[7 + 2 * TN_SHA256_BYTES + 1] = "sha256:";
    uint8_t digest[TN_SHA256_BYTES];
    tn_sha256_of(t->plan.data, t->plan.size, digest);
    tn_sha256_text(digest, subject + 7);
    const tn_study_options o = {.struct_size = sizeof o,
                                .seed = (uint64_t)d->seed,
                                .sampler = (tn_sampler)d->kind,
                                .joint = (tn_joint)d->joint,
                                .startup = (int)d->startup,
                                .candidates = (int)d->candidates,
                                .first = d->halving_node ? TN_MAX(d->first, 1) : 0,
                                .reduction = d->reduction,
                                .subject = subject,
                                .promote = d->halving_node && d->promote};
    TN_TRY(tn_study_create(&o, &t->study));
    if (d->space->kind != TN_MANIFEST_MAP || !d->space->count)
        return tn_key_fail(d->space, "'space' is a map: a key of the plan, as train.optimizer.rate, and its range");
    for (const tn_manifest_node *child = d->space->first; child; child = child->next) TN_TRY(add_entry(t, child));
    return add_objectives(t, d->objectives);
}

static tn_status read_root(tn_tuning *t, const tn_manifest_node *root) {
    draft d = {.trials = 50, .jobs = 1, .promote = true};
    TN_TRY(tn_keys_read(root, root_keys, &d));
    if (!d.plan) return tn_key_fail(root, "the key 'plan' is missing");
    if (!d.space) return tn_key_fail(root, "the key 'space' is missing");
    if (d.sampler_node) TN_TRY(tn_keys_read(d.sampler_node, sampler_keys, &d));
    if (d.halving_node) TN_TRY(tn_keys_read(d.halving_node, halving_keys, &d));
    if (d.name && strchr(d.name, '/')) return tn_key_fail(root, "'name' is of files: no slash in it");
    t->trials = d.trials;
    t->jobs = d.jobs;
    t->name = d.name;
    TN_TRY(read_plan(t, d.plan));
    TN_TRY(make_study(t, &d));
    TN_TRY(check_plan(t));
    t->file = d.study ? d.study : tn_region_printf(t->region, "%s.study", t->name);
    return t->file ? tn_keys_place(&t->file, t->folder, t->region) : TN_E_MEMORY;
}

tn_status tn_tuning_parse(const char *text, size_t size, const char *folder, tn_tuning **out_tuning) {
    tn_manifest_node *root;
    *out_tuning = NULL;
    tn_region *region = tn_region_create(NULL);
    tn_tuning *t = region ? tn_region_alloc(region, sizeof *t) : NULL;
    if (!t) {
        tn_region_destroy(region);
        return TN_E_MEMORY;
    }
    t->region = region;
    tn_status status = TN_OK;
    if (folder && !(t->folder = tn_region_strdup(region, folder))) status = TN_E_MEMORY;
    if (status == TN_OK) status = tn_keys_parse((tn_string){text, size}, "a study", region, &root);
    if (status == TN_OK) status = read_root(t, root);
    if (status == TN_OK)
        *out_tuning = t;
    else
        tn_tuning_destroy(t);
    return status;
}

tn_status tn_tuning_load(const char *path, tn_tuning **out_tuning) {
    const char *folder;
    tn_string text;
    *out_tuning = NULL;
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = tn_keys_load(path, region, &text, &folder);
    if (status == TN_OK) {
        status = tn_tuning_parse(text.data, text.size, folder, out_tuning);
        if (status != TN_OK) tn_fail_context(status, "%s", path);
    }
    tn_region_destroy(region);
    return status;
}

void tn_tuning_destroy(tn_tuning *t) {
    if (!t) return;
    tn_study_destroy(t->study);
    tn_region_destroy(t->region);
}

tn_study *tn_tuning_study(tn_tuning *t) {
    return t->study;
}

const char *tn_tuning_path(tn_tuning *t, int64_t number, const char *kind) {
    return tn_tuning_place(t, number, kind, t->region);
}
