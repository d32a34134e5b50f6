/* tenon run: one run; its outputs shown, kept, compared. */
#include "files.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Outputs of which there are several elements get their number behind the name. */
static void element_name(char *text, size_t size, const char *name, size_t count, size_t k) {
    if (count == 1)
        snprintf(text, size, "%s", name);
    else
        snprintf(text, size, "%s.%zu", name, k);
}

static bool save_one(const settings *s, zip_writer *z, const tn_tensor *t, const char *name, int index) {
    char path[4600], safe[256];
    if (z->file) return tensor_zip(z, t, name);
    if (is_folder(s->output)) {
        file_name(safe, sizeof safe, name);
        snprintf(path, sizeof path, "%.4096s/%s.npy", s->output, safe);
        return tensor_save(t, name, path);
    }
    return index != 0 || tensor_save(t, name, s->output);
}

/* Shows the outputs (j or text) and saves them where --output says. */
static bool each_output(host *h, const settings *s, json *j) {
    zip_writer z = {0};
    bool good = true;
    if (s->output && ends_with(s->output, ".npz")) {
        z.file = file_create(s->output);
        if (!z.file) return false;
    } else if (s->output && !ends_with(s->output, ".npy") && !ends_with(s->output, ".pb")) {
        mkdir(s->output, 0777);
        good = is_folder(s->output);
        if (!good) complain("%s: cannot be made a folder; outputs go to a folder, an .npz, .npy or .pb", s->output);
    }
    for (int i = 0; i < tn_model_output_count(h->model) && good; i++) {
        tn_value_info info;
        size_t count;
        tn_tensor **outputs;
        char name[1024];
        good = tn_model_output_info(h->model, i, &info) == TN_OK && host_output(h, i, &count, &outputs);
        if (!good) break;
        if (!count && !j) printf("%s: empty\n", info.name);
        for (size_t k = 0; k < count && good; k++) {
            element_name(name, sizeof name, info.name, count, k);
            if (j) {
                emit_object(j, NULL);
                emit_text(j, "name", name);
                tensor_json(j, outputs[k]);
                emit_end(j);
            } else {
                tensor_print(name, outputs[k]);
            }
            if (s->output) good = save_one(s, &z, outputs[k], name, i);
        }
        outputs_free(count, outputs);
    }
    if (!z.file) return good;
    bool whole = zip_finish(&z) && good;
    return file_commit(z.file, s->output) && whole;
}

static int run_all(host *h, const settings *s, json *j) {
    bool equal = true;
    if (!host_load(h, s) || !host_start(h, false)) return EXIT_FAILED;
    double start = now_ms();
    if (!host_run(h)) return EXIT_FAILED;
    double run_ms = now_ms() - start;
    progress(s, NULL);
    if (j) {
        emit_object(j, NULL);
        emit_text(j, "model", s->model);
        emit_text(j, "cpu", tn_model_cpu(h->model));
        emit_number(j, "load_ms", h->load_ms);
        emit_number(j, "prepare_ms", h->prepare_ms);
        emit_number(j, "run_ms", run_ms);
        emit_array(j, "outputs");
    }
    bool good = each_output(h, s, j);
    if (j) emit_end(j);
    if (j && s->compares.count) emit_array(j, "compared");
    if (good && s->compares.count) good = compare_outputs(h, s, j, &equal);
    if (j && s->compares.count) emit_end(j);
    if (j) emit_end(j);
    return good && equal ? EXIT_OK : EXIT_FAILED;
}

int run_command(const settings *s) {
    host h;
    json j = json_open(stdout);
    int code = run_all(&h, s, s->json ? &j : NULL);
    host_close(&h);
    return code;
}
