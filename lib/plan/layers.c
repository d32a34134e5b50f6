/* Layers of a plan: from YAML to a list of what they are. A row a layer says which keys it takes. */
#include <stddef.h>
#include "data/keys.h"
#include "plan/plan.h"

#define MOST_LAYERS 256
#define MOST_SIZE (1 << 20)

const char *const tn_activation_words[] = {"",     "relu", "leaky-relu", "elu",      "gelu",
                                           "silu", "tanh", "sigmoid",    "softplus", NULL};
static const char *const pool_words[] = {"max", "average", "global", NULL};
static const char *const norm_words[] = {"batch", "layer", "group", NULL};
static const char *const join_words[] = {"channels", "add", NULL};
static const char *const direction_words[] = {"forward", "reverse", "bidirectional", NULL};
static const char *const gives_words[] = {"last", "all", NULL};
static const char *const norm_places[] = {"first", "last", NULL};
static const char *const position_words[] = {"learned", NULL};
static const char *const padding_words[] = {"same", "valid", NULL};

/* Keys beside the one that says what the layer is. */
enum { ACTIVATION = 1, WINDOW = 2, DILATION = 4, CODES = 8, GROUPS = 16, JOIN = 32, RECURRENT = 64, BLOCK = 128 };

#define AT(field) offsetof(tn_layer, field)
static const struct kind {
    tn_key key;
    tn_layer_kind kind;
    unsigned others;
} kinds[] = {
    {{"dense", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_DENSE, ACTIVATION},
    {{"conv", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_CONV, ACTIVATION | WINDOW | DILATION | GROUPS},
    {{"norm", TN_KEY_WORD, AT(word), 0, 0, norm_words}, TN_LAYER_NORM, ACTIVATION | GROUPS},
    {{"residual", TN_KEY_NODE, AT(node), 0, 0, NULL}, TN_LAYER_RESIDUAL, ACTIVATION},
    {{"pool", TN_KEY_WORD, AT(word), 0, 0, pool_words}, TN_LAYER_POOL, WINDOW},
    {{"dropout", TN_KEY_NUMBER, AT(part), 0, 0.99, NULL}, TN_LAYER_DROPOUT, 0},
    {{"embedding", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_EMBEDDING, CODES},
    {{"branches", TN_KEY_NODE, AT(node), 0, 0, NULL}, TN_LAYER_BRANCHES, ACTIVATION | JOIN},
    {{"latent", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_LATENT, 0},
    {{"rnn", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_RNN, RECURRENT},
    {{"gru", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_GRU, RECURRENT},
    {{"lstm", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_LSTM, RECURRENT},
    {{"attention", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_ATTENTION, 0},
    {{"transformer", TN_KEY_WHOLE, AT(size), 1, MOST_SIZE, NULL}, TN_LAYER_TRANSFORMER, ACTIVATION | BLOCK},
    {{"position", TN_KEY_WORD, AT(word), 0, 0, position_words}, TN_LAYER_POSITION, 0},
    {{"transpose", TN_KEY_NODE, AT(node), 0, 0, NULL}, TN_LAYER_TRANSPOSE, 0},
    {{"activation", TN_KEY_WORD, AT(activation), 0, 0, tn_activation_words}, TN_LAYER_ACTIVATION, 0},
};

/* What the keys of windows say before it is known over how many axes. */
typedef struct window {
    const tn_manifest_node *kernel, *stride, *dilation;
} window;

static tn_status read_pair(const tn_manifest_node *node, const char *name, int64_t fallback, int64_t out[2]) {
    int count = 1;
    out[0] = fallback;
    if (node) TN_TRY(tn_key_sizes(node, name, 1, 65536, 2, out, &count));
    if (count == 1) out[1] = out[0];
    return TN_OK;
}

static tn_status read_others(const tn_manifest_node *map, unsigned others, tn_layer *layer) {
    window w = {0};
    const struct {
        unsigned bit;
        tn_key key;
        void *to;
    } rows[] = {
        {ACTIVATION, {"activation", TN_KEY_WORD, AT(activation), 0, 0, tn_activation_words}, layer},
        {WINDOW, {"kernel", TN_KEY_NODE, offsetof(window, kernel), 0, 0, NULL}, &w},
        {WINDOW, {"stride", TN_KEY_NODE, offsetof(window, stride), 0, 0, NULL}, &w},
        {DILATION, {"dilation", TN_KEY_NODE, offsetof(window, dilation), 0, 0, NULL}, &w},
        {GROUPS, {"groups", TN_KEY_WHOLE, AT(groups), 1, MOST_SIZE, NULL}, layer},
        {DILATION, {"padding", TN_KEY_WORD, AT(valid), 0, 0, padding_words}, layer},
        {JOIN, {"join", TN_KEY_WORD, AT(word), 0, 0, join_words}, layer},
        {RECURRENT, {"direction", TN_KEY_WORD, AT(word), 0, 0, direction_words}, layer},
        {RECURRENT, {"gives", TN_KEY_WORD, AT(all), 0, 0, gives_words}, layer},
        {BLOCK, {"inner", TN_KEY_WHOLE, AT(inner), 1, MOST_SIZE, NULL}, layer},
        {BLOCK, {"dropout", TN_KEY_NUMBER, AT(part), 0, 0.99, NULL}, layer},
        {BLOCK, {"norm", TN_KEY_WORD, AT(word), 0, 0, norm_places}, layer},
        {CODES, {"of", TN_KEY_WHOLE, AT(of), 1, MOST_SIZE, NULL}, layer},
    };
    for (const tn_manifest_node *child = map->first->next; child; child = child->next) {
        size_t i = 0;
        while (i < TN_COUNT(rows) && !((rows[i].bit & others) && strcmp(rows[i].key.name, child->key) == 0)) i++;
        if (i == TN_COUNT(rows))
            return tn_key_fail(child, "the layer '%s' takes no key '%.80s' (what a layer is stands first in it)",
                               map->first->key, child->key);
        TN_TRY(tn_key_read(child, &rows[i].key, rows[i].to));
    }
    TN_TRY(read_pair(w.kernel, "kernel", others & DILATION ? 3 : 2, layer->kernel));
    TN_TRY(read_pair(w.dilation, "dilation", 1, layer->dilation));
    if (w.stride || others & DILATION) return read_pair(w.stride, "stride", 1, layer->stride);
    memcpy(layer->stride, layer->kernel, sizeof layer->stride);
    return TN_OK;
}

static tn_status read_branches(tn_region *region, const tn_manifest_node *list, int depth, tn_layer *layer) {
    if (list->kind != TN_MANIFEST_LIST || list->count < 2 || list->count > TN_BRANCHES)
        return tn_key_fail(list, "'branches' is a list of 2 to %d lists of layers", TN_BRANCHES);
    layer->inside = tn_region_array(region, (size_t)list->count, sizeof *layer->inside);
    if (!layer->inside) return TN_E_MEMORY;
    for (const tn_manifest_node *child = list->first; child; child = child->next) {
        tn_layer *branch = &layer->inside[layer->count++];
        TN_TRY(tn_layers_read(region, child, depth + 1, &branch->inside, &branch->count));
    }
    return TN_OK;
}

static tn_status read_order(const tn_manifest_node *node, tn_layer *layer) {
    bool seen[4] = {false};
    TN_TRY(tn_key_sizes(node, "transpose", 1, 3, 3, layer->order, &layer->count));
    for (int i = 0; i < layer->count; i++) {
        if (layer->order[i] > layer->count || seen[layer->order[i]])
            return tn_key_fail(node, "'transpose' names each axis of a sample once, as [2, 1]");
        seen[layer->order[i]] = true;
    }
    return TN_OK;
}

static tn_status read_layer(tn_region *region, const tn_manifest_node *map, int depth, tn_layer *layer) {
    if (map->kind != TN_MANIFEST_MAP || !map->first) return tn_key_fail(map, "a layer is a map, as 'dense: 32'");
    size_t i = 0;
    while (i < TN_COUNT(kinds) && strcmp(kinds[i].key.name, map->first->key) != 0) i++;
    if (i == TN_COUNT(kinds))
        return tn_key_fail(map->first,
                           "there is no layer '%.80s'; there are dense, conv, norm, residual, branches, pool, dropout, "
                           "embedding, rnn, "
                           "gru, lstm, attention, transformer, position, transpose, latent, activation, which stand "
                           "first in their maps",
                           map->first->key);
    *layer = (tn_layer){.kind = kinds[i].kind, .groups = 1};
    if (layer->kind == TN_LAYER_TRANSFORMER) layer->activation = TN_GELU;
    TN_TRY(tn_key_read(map->first, &kinds[i].key, layer));
    layer->node = map->first;
    TN_TRY(read_others(map, kinds[i].others, layer));
    if (layer->kind == TN_LAYER_EMBEDDING && !layer->of)
        return tn_key_fail(map, "an embedding needs 'of': how many codes there are");
    if (layer->kind == TN_LAYER_TRANSPOSE) return read_order(map->first, layer);
    if (layer->kind == TN_LAYER_BRANCHES) return read_branches(region, map->first, depth, layer);
    if (layer->kind == TN_LAYER_RESIDUAL)
        return tn_layers_read(region, map->first, depth + 1, &layer->inside, &layer->count);
    return TN_OK;
}

tn_status tn_layers_read(tn_region *region, const tn_manifest_node *list, int depth, tn_layer **out, int *out_count) {
    if (list->kind != TN_MANIFEST_LIST || !list->count) return tn_key_fail(list, "a list of layers was expected");
    if (list->count > MOST_LAYERS || depth > TN_LAYER_DEPTH)
        return tn_key_fail(list, "at most %d layers in a list, and %d lists in each other", MOST_LAYERS,
                           TN_LAYER_DEPTH);
    *out = tn_region_array(region, (size_t)list->count, sizeof **out);
    if (!*out) return TN_E_MEMORY;
    for (const tn_manifest_node *child = list->first; child; child = child->next)
        TN_TRY(read_layer(region, child, depth, &(*out)[(*out_count)++]));
    return TN_OK;
}

bool tn_has_latent(const tn_layer *layers, int count) {
    for (int i = 0; i < count; i++)
        if (layers[i].kind == TN_LAYER_LATENT || (layers[i].inside && tn_has_latent(layers[i].inside, layers[i].count)))
            return true;
    return false;
}
