/* Upgrades: the next version of a model in a store, made of the one that is there.
 *
 *     // new parameters, as training gives them: same structure, weights of the file
 *     tn_upgrade_options o = {sizeof o, .parameters = "retrained.onnx", .backup = "before.tnb"};
 *     tn_upgrade(s, "press:^1.0", &o, NULL);
 *     // a new structure, with the weights that it has in common with the old one carried over
 *     tn_upgrade_options n = {sizeof n, .structure = "deeper.onnx"};
 *     tn_upgrade(s, "press", &n, NULL);
 *
 *     // a part of it, between named values, replaced by another model
 *     tn_upgrade_options m = {sizeof m, .module = "new-head.onnx"};
 *     tn_upgrade(s, "press", &m, NULL);
 *
 * A module's inputs and outputs have the names of values of the model, which they stand for: the module reads the first,
 * and what read the last reads the module's results. Nodes that nothing needs any more go. A module has no subgraphs.
 *
 * Weights are carried over by name, data type and shape: constants of the graph, those of int64 and bool excepted, which
 * are shapes, indices and switches, and so structure. With `parameters` every float constant of the old version must be in
 * the file; with `structure` those that are not in the old version stay as the file has them.
 *
 * The next version is a model file (tenon/model_file.h). Its manifest is the old one's (of a new structure: the file's own,
 * if it has one) with the new version and, as parent, the digest of the old file; `created` and `metrics` go, for they are
 * of the old one. Its self-test has the inputs of the old one's with what the new model gives for them, where it takes them.
 * In the store its parent is the old version.
 *
 * Before it goes into the store it is loaded whole, and its self-test run. Whatever fails, or is cut, leaves the store as it
 * was, and the old version serving; channels go on to lead to it until somebody promotes the new one (tenon/trust.h).
 *
 * A library built without stores or without libyaml answers TN_E_UNSUPPORTED. */
#ifndef TENON_UPGRADE_H
#define TENON_UPGRADE_H

#include <tenon/backup.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero but struct_size is the default; one of parameters, structure and module must be there. */
typedef struct tn_upgrade_options {
    size_t struct_size;
    const char *parameters, *structure, *module; /* a model file, .onnx or .tenon; of parameters .safetensors as well */
    const char
        *version;       /* of the new one, higher than the old one's; NULL: the next, 1.2.4 after 1.2.3 with parameters,
                            1.3.0 with a structure or a module */
    const char *backup; /* where the store is backed up first (tenon/backup.h); NULL: nowhere */
} tn_upgrade_options;

typedef struct tn_upgrade_result {
    size_t struct_size; /* set by the caller */
    tn_store_version before, after;
    int carried;                 /* constants that came over from the other model */
    int own;                     /* of those that can be, what the structure's file had itself */
    int test_cases;              /* of the self-test */
    int nodes_added, nodes_gone; /* with a module */
} tn_upgrade_result;

/* out_result may be NULL. */
TN_API tn_status tn_upgrade(tn_store *store, const char *reference, const tn_upgrade_options *options,
                            tn_upgrade_result *out_result);

#ifdef __cplusplus
}
#endif
#endif
