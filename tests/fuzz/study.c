/* Fuzzing the lines of a study's file: they are refused with a sentence, or are trials within the space, and another trial can
 * be drawn behind them; those that wait at a rung go on until none may. */
#include <stdlib.h>
#include <string.h>
#include "tune/study.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void must(bool good) {
    if (!good) abort();
}

static void read_lines(const char *text, size_t size, bool promote) {
    static const char *const kinds[] = {"a", "b"};
    tn_study *s;
    size_t whole;
    int64_t number;
    double x;
    const tn_study_options o = {.struct_size = sizeof o, .startup = 2, .first = 1, .promote = promote};
    must(tn_study_create(&o, &s) == TN_OK && tn_study_add_float(s, "x", 0, 1, 0, false) == TN_OK &&
         tn_study_add_choice(s, "kind", kinds, 2) == TN_OK && tn_study_add_int(s, "n", 1, 9, 2, false) == TN_OK &&
         tn_study_add_condition(s, "n", "kind", "b") == TN_OK && tn_study_open(s, NULL) == TN_OK);
    tn_status status = tn_study_read(s, text, size, &whole);
    must(whole <= size && (status == TN_OK || *tn_last_error()));
    if (status == TN_OK) {
        must(tn_study_ask(s, &number) == TN_OK);
        must(tn_study_value(s, number, "x", &x) == TN_OK && x >= 0 && x <= 1);
        int64_t ended = tn_study_count(s);
        for (; tn_study_promote(s, &number) == TN_OK; ended--) must(promote && ended > 0);
        must(tn_study_count(s) == ended);
    }
    tn_study_destroy(s);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    read_lines(copy, size, false);
    read_lines(copy, size, true);
    free(copy);
    return 0;
}
