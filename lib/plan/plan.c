/* Plans: from YAML to what is to be done. See tenon/plan.h. */
#include "plan/plan.h"
#include "compress/recipe.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include "data/keys.h"

const char *const tn_loss_words[] = {"",         "mse",   "mae", "huber", "cross-entropy", "binary-cross-entropy",
                                     "quantile", "focal", "kl",  "elbo",  "ctc",           NULL};
static const char *const optimizer_words[] = {"sgd", "adam", "adamw", "adagrad", "rmsprop", "lion", NULL};
static const char *const product_words[] = {"float32", "bfloat16", NULL};
static const char *const average_words[] = {"", "ema", "swa", NULL};
static const char *const schedule_words[] = {"constant", "step", "exponential", "cosine", "one-cycle", "plateau", NULL};

#define AT(field) offsetof(tn_plan, field)
static const tn_key root_keys[] = {
    {"name", TN_KEY_TEXT, AT(name), 0, 0, NULL},
    {"version", TN_KEY_TEXT, AT(version), 0, 0, NULL},
    {"title", TN_KEY_TEXT, AT(title), 0, 0, NULL},
    {"description", TN_KEY_TEXT, AT(description), 0, 0, NULL},
    {"licence", TN_KEY_TEXT, AT(licence), 0, 0, NULL},
    {"data", TN_KEY_NODE, AT(data_node), 0, 0, NULL},
    {"pipeline", TN_KEY_NODE, AT(pipeline_node), 0, 0, NULL},
    {"model", TN_KEY_NODE, AT(model_node), 0, 0, NULL},
    {"train", TN_KEY_NODE, AT(train_node), 0, 0, NULL},
    {"compress", TN_KEY_NODE, AT(compress_node), 0, 0, NULL},
    {"retrain", TN_KEY_NODE, AT(retrain_node), 0, 0, NULL},
    {"output", TN_KEY_TEXT, AT(output), 0, 0, NULL},
    {0},
};
static const tn_key data_keys[] = {
    {"train", TN_KEY_TEXT, AT(train), 0, 0, NULL},
    {"test", TN_KEY_TEXT, AT(test), 0, 0, NULL},
    {"separator", TN_KEY_TEXT, AT(separator), 0, 0, NULL},
    {"decimal", TN_KEY_TEXT, AT(decimal), 0, 0, NULL},
    {"header", TN_KEY_SWITCH, AT(header), 0, 0, NULL},
    {"memory", TN_KEY_WHOLE, AT(memory), 1, 1 << 24, NULL},
    {0},
};
static const tn_key model_keys[] = {
    {"shape", TN_KEY_NODE, AT(shape_node), 0, 0, NULL}, {"layers", TN_KEY_NODE, AT(layers_node), 0, 0, NULL},
    {"file", TN_KEY_TEXT, AT(file), 0, 0, NULL},        {"until", TN_KEY_TEXT, AT(until), 0, 0, NULL},
    {"freeze", TN_KEY_TEXT, AT(freeze), 0, 0, NULL},    {0},
};
static const tn_key train_keys[] = {
    {"loss", TN_KEY_NODE, AT(loss_node), 0, 0, NULL},
    {"epochs", TN_KEY_WHOLE, AT(epochs), 1, 1e6, NULL},
    {"batch", TN_KEY_WHOLE, AT(batch), 1, 1e6, NULL},
    {"accumulate", TN_KEY_WHOLE, AT(accumulate), 1, 1e6, NULL},
    {"recompute", TN_KEY_WHOLE, AT(recompute), 1, 1000, NULL},
    {"products", TN_KEY_WORD, AT(products), 0, 0, product_words},
    {"optimizer", TN_KEY_NODE, AT(optimizer_node), 0, 0, NULL},
    {"schedule", TN_KEY_NODE, AT(schedule_node), 0, 0, NULL},
    {"average", TN_KEY_NODE, AT(average_node), 0, 0, NULL},
    {"augment", TN_KEY_NODE, AT(augment_node), 0, 0, NULL},
    {"validation", TN_KEY_NUMBER, AT(validation), 0, 0.9, NULL},
    {"patience", TN_KEY_WHOLE, AT(patience), 1, 1e6, NULL},
    {"snapshots", TN_KEY_WHOLE, AT(snapshots), 2, 100, NULL},
    {"seed", TN_KEY_WHOLE, AT(seed), 0, 0x1p53, NULL},
    {"events", TN_KEY_TEXT, AT(events), 0, 0, NULL},
    {"teacher", TN_KEY_NODE, AT(teacher_node), 0, 0, NULL},
    {0},
};
static const tn_key loss_keys[] = {
    {"kind", TN_KEY_WORD, AT(loss), 0, 0, tn_loss_words},
    {"quantile", TN_KEY_NUMBER, AT(loss_options.quantile), 1e-6, 0.999999, NULL},
    {"focus", TN_KEY_NUMBER, AT(loss_options.focus), 1e-6, 100, NULL},
    {"label_smoothing", TN_KEY_NUMBER, AT(loss_options.label_smoothing), 0, 0.99, NULL},
    {"class_weights", TN_KEY_NODE, AT(class_weights), 0, 0, NULL},
    {"beta", TN_KEY_NUMBER, AT(loss_options.beta), 1e-9, 1e6, NULL},
    {0},
};
static const tn_key optimizer_keys[] = {
    {"kind", TN_KEY_WORD, AT(optimizer.kind), 0, 0, optimizer_words},
    {"rate", TN_KEY_NUMBER, AT(optimizer.rate), 1e-12, 1e3, NULL},
    {"momentum", TN_KEY_NUMBER, AT(optimizer.momentum), 0, 0.9999, NULL},
    {"nesterov", TN_KEY_SWITCH, AT(optimizer.nesterov), 0, 0, NULL},
    {"beta1", TN_KEY_NUMBER, AT(optimizer.beta1), 1e-6, 0.999999, NULL},
    {"beta2", TN_KEY_NUMBER, AT(optimizer.beta2), 1e-6, 0.999999, NULL},
    {"alpha", TN_KEY_NUMBER, AT(optimizer.alpha), 1e-6, 0.999999, NULL},
    {"epsilon", TN_KEY_NUMBER, AT(optimizer.epsilon), 1e-30, 1, NULL},
    {"weight_decay", TN_KEY_NUMBER, AT(optimizer.weight_decay), 0, 1e3, NULL},
    {"l1", TN_KEY_NUMBER, AT(optimizer.l1), 0, 1e3, NULL},
    {"clip_norm", TN_KEY_NUMBER, AT(optimizer.clip_norm), 0, 1e9, NULL},
    {0},
};
static const tn_key schedule_keys[] = {
    {"kind", TN_KEY_WORD, AT(schedule.kind), 0, 0, schedule_words},
    {"factor", TN_KEY_NUMBER, AT(schedule.factor), 1e-9, 1, NULL},
    {"period", TN_KEY_NUMBER, AT(period), 1e-3, 1e6, NULL},
    {"total", TN_KEY_NUMBER, AT(total), 1e-3, 1e6, NULL},
    {"stretch", TN_KEY_NUMBER, AT(schedule.stretch), 1, 100, NULL},
    {"floor", TN_KEY_NUMBER, AT(schedule.floor), 0, 1, NULL},
    {"rise", TN_KEY_NUMBER, AT(schedule.rise), 1e-3, 0.999, NULL},
    {"start", TN_KEY_NUMBER, AT(schedule.start), 1, 1e9, NULL},
    {"end", TN_KEY_NUMBER, AT(schedule.end), 1, 1e9, NULL},
    {"patience", TN_KEY_WHOLE, AT(schedule.patience), 1, 1e6, NULL},
    {"warm_up", TN_KEY_NUMBER, AT(warm_up), 0, 1e6, NULL},
    {0},
};

static const tn_key augment_keys[] = {
    {"noise", TN_KEY_NUMBER, AT(augment.noise), 0, 1e6, NULL},  {"shift", TN_KEY_NUMBER, AT(augment.shift), 0, 1, NULL},
    {"scale", TN_KEY_NUMBER, AT(augment.scale), 0, 1, NULL},    {"flip", TN_KEY_SWITCH, AT(augment.flip), 0, 0, NULL},
    {"mixup", TN_KEY_NUMBER, AT(augment.mixup), 0.05, 2, NULL}, {0},
};
static const tn_key teacher_keys[] = {
    {"file", TN_KEY_TEXT, AT(teacher), 0, 0, NULL},
    {"weight", TN_KEY_NUMBER, AT(teacher_weight), 1e-6, 1, NULL},
    {"temperature", TN_KEY_NUMBER, AT(temperature), 0.1, 100, NULL},
    {0},
};
static const tn_key average_keys[] = {
    {"kind", TN_KEY_WORD, AT(average.kind), 0, 0, average_words},
    {"decay", TN_KEY_NUMBER, AT(average.decay), 1e-6, 0.9999999, NULL},
    {"start", TN_KEY_NUMBER, AT(average_start), 0, 1e6, NULL},
    {"every", TN_KEY_NUMBER, AT(average_every), 1e-6, 1e6, NULL},
    {0},
};

static const tn_key retrain_keys[] = {
    {"epochs", TN_KEY_WHOLE, AT(retrain_epochs), 1, 1e6, NULL},
    {"rate", TN_KEY_NUMBER, AT(retrain_rate), 1e-12, 1e3, NULL},
    {0},
};

static tn_status read_data(tn_plan *p) {
    TN_TRY(tn_keys_read(p->data_node, data_keys, p));
    if (!p->train) return tn_key_fail(p->data_node, "the key 'train' is missing: a CSV file");
    if (p->separator && strlen(p->separator) != 1) return tn_key_fail(p->data_node, "'separator' is one character");
    if (p->decimal && strlen(p->decimal) != 1) return tn_key_fail(p->data_node, "'decimal' is one character");
    TN_TRY(tn_keys_place(&p->train, p->folder, p->region));
    return tn_keys_place(&p->test, p->folder, p->region);
}

static tn_status read_model(tn_plan *p) {
    TN_TRY(tn_keys_read(p->model_node, model_keys, p));
    if (p->file ? p->shape_node != NULL : p->until || p->freeze)
        return tn_key_fail(p->model_node, p->file ? "beside 'file' there is no 'shape': the file has one"
                                                  : "'until' and 'freeze' are of a 'file'");
    if (p->file && p->layers_node && !p->until)
        return tn_key_fail(p->model_node, "beside 'file', 'layers' needs 'until': the value that they begin at");
    if (p->shape_node) TN_TRY(tn_key_sizes(p->shape_node, "shape", 1, 1 << 20, 3, p->shape, &p->rank));
    if (p->layers_node) TN_TRY(tn_layers_read(p->region, p->layers_node, 1, &p->layers, &p->layer_count));
    return tn_keys_place(&p->file, p->folder, p->region);
}

static tn_status read_train(tn_plan *p) {
    if (p->train_node) TN_TRY(tn_keys_read(p->train_node, train_keys, p));
    if (p->loss_node)
        TN_TRY(p->loss_node->kind == TN_MANIFEST_MAP ? tn_keys_read(p->loss_node, loss_keys, p)
                                                     : tn_key_read(p->loss_node, &loss_keys[0], p));
    if (p->optimizer_node) TN_TRY(tn_keys_read(p->optimizer_node, optimizer_keys, p));
    if (p->schedule_node) TN_TRY(tn_keys_read(p->schedule_node, schedule_keys, p));
    if (p->average_node) TN_TRY(tn_keys_read(p->average_node, average_keys, p));
    if (p->augment_node) TN_TRY(tn_keys_read(p->augment_node, augment_keys, p));
    if (p->teacher_node) TN_TRY(tn_keys_read(p->teacher_node, teacher_keys, p));
    if (p->teacher_node && !p->teacher)
        return tn_key_fail(p->teacher_node, "a teacher needs 'file': a model that is there");
    TN_TRY(tn_keys_place(&p->teacher, p->folder, p->region));
    if (p->average_node && p->average.kind == TN_AVERAGE_NONE)
        return tn_key_fail(p->average_node, "an average needs 'kind': ema or swa");
    if (p->patience && p->validation == 0)
        return tn_key_fail(p->train_node, "'patience' looks at a validation loss: it needs 'validation', as 0.1");
    tn_status status = tn_snapshots_check(p);
    if (status != TN_OK) return tn_fail_context(status, "line %d", p->train_node->line);
    return tn_keys_place(&p->events, p->folder, p->region);
}

/* An empty list is none, so that a study can choose it. */
static tn_status read_compress(tn_plan *p) {
    const tn_manifest_node *list = p->compress_node;
    if (list && (list->kind != TN_MANIFEST_LIST || list->count)) TN_TRY(tn_recipe_of_steps(list, &p->compress));
    if (!p->retrain_node) return TN_OK;
    if (!list) return tn_key_fail(p->retrain_node, "there is no 'compress' to train on behind");
    p->retrain_epochs = 5;
    TN_TRY(tn_keys_read(p->retrain_node, retrain_keys, p));
    return p->compress ? tn_plan_retrain_check(p) : TN_OK;
}

/* What the manifest will want is wanted before hours of training. */
static tn_status check_manifest(const tn_plan *p) {
    tn_manifest *manifest;
    const char *text = tn_region_printf(p->region, "name: \"%s\"\nversion: \"%s\"\n", p->name, p->version);
    if (!text) return TN_E_MEMORY;
    tn_status status = tn_manifest_parse(text, strlen(text), &manifest);
    if (status != TN_OK) return tn_fail_context(status, "name or version, as the manifest will have them");
    tn_manifest_destroy(manifest);
    return TN_OK;
}

static tn_status read_root(tn_plan *p, const tn_manifest_node *root) {
    p->header = true;
    p->epochs = 50;
    p->batch = 32;
    p->accumulate = 1;
    p->teacher_weight = 0.5;
    p->temperature = 1;
    p->version = "0.1.0";
    p->optimizer.kind = TN_ADAM;
    TN_TRY(tn_keys_read(root, root_keys, p));
    if (!p->name) return tn_key_fail(root, "the key 'name' is missing");
    if (!p->data_node) return tn_key_fail(root, "the key 'data' is missing");
    if (!p->pipeline_node) return tn_key_fail(root, "the key 'pipeline' is missing");
    if (!p->model_node) return tn_key_fail(root, "the key 'model' is missing");
    TN_TRY(read_data(p));
    TN_TRY(read_model(p));
    TN_TRY(read_train(p));
    TN_TRY(read_compress(p));
    TN_TRY(check_manifest(p));
    if (!p->output) p->output = tn_region_printf(p->region, "%s.tenon", p->name);
    return p->output ? tn_keys_place(&p->output, p->folder, p->region) : TN_E_MEMORY;
}

tn_status tn_plan_parse(const char *text, size_t size, const char *folder, tn_plan **out_plan) {
    tn_manifest_node *root;
    *out_plan = NULL;
    tn_region *region = tn_region_create(NULL);
    tn_plan *p = region ? tn_region_alloc(region, sizeof *p) : NULL;
    tn_status status = p ? TN_OK : TN_E_MEMORY;
    if (p) {
        p->region = region;
        tn_sha256_of(text, size, p->digest);
    }
    if (p && folder && !(p->folder = tn_region_strdup(region, folder))) status = TN_E_MEMORY;
    if (status == TN_OK) status = tn_keys_parse((tn_string){text, size}, "a plan", region, &root);
    if (status == TN_OK) status = read_root(p, root);
    if (status == TN_OK)
        *out_plan = p;
    else if (p)
        tn_plan_destroy(p);
    else
        tn_region_destroy(region);
    return status;
}

tn_status tn_plan_load(const char *path, tn_plan **out_plan) {
    const char *folder;
    tn_string text;
    *out_plan = NULL;
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = tn_keys_load(path, region, &text, &folder);
    if (status == TN_OK) {
        status = tn_plan_parse(text.data, text.size, folder, out_plan);
        if (status != TN_OK) tn_fail_context(status, "%s", path);
    }
    tn_region_destroy(region);
    return status;
}

void tn_plan_destroy(tn_plan *plan) {
    if (!plan) return;
    tn_recipe_destroy(plan->compress);
    tn_region_destroy(plan->region);
}

tn_status tn_plan_set_fold(tn_plan *plan, int folds, int fold) {
    size_t length = strlen(plan->output);
    if (folds < 2 || fold < 1 || fold > folds)
        return tn_fail(TN_E_INVALID, "fold %d of %d; there are 2 or more, counted from 1 on", fold, folds);
    if (plan->test) return tn_key_fail(plan->data_node, "there is a file for testing: folds are of 'train' alone");
    if (length > 6 && strcmp(plan->output + length - 6, ".tenon") == 0) length -= 6;
    const char *output = tn_region_printf(plan->region, "%.*s.fold-%d.tenon", (int)length, plan->output, fold);
    if (!output) return TN_E_MEMORY;
    plan->output = output;
    plan->folds = folds;
    plan->fold = fold;
    return TN_OK;
}

const char *tn_plan_output(const tn_plan *plan) {
    return plan->output;
}

tn_status tn_plan_set_output(tn_plan *plan, const char *path) {
    const char *own = tn_region_strdup(plan->region, path);
    if (!own) return TN_E_MEMORY;
    plan->output = own;
    return TN_OK;
}
