/* Fuzzing CSV: any bytes are refused with a sentence or make a table, whose codes and levels belong to each other. The first
 * byte chooses the options. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/data.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void look(const tn_table *t) {
    for (int c = 0; c < tn_table_column_count(t); c++) {
        const double *numbers = tn_table_numbers(t, c);
        const int32_t *codes = tn_table_codes(t, c);
        if (tn_table_find(t, tn_table_column_name(t, c)) != c || !numbers == !codes) abort();
        for (int64_t r = 0; r < tn_table_rows(t); r++) {
            if (numbers && !isnan(numbers[r]) && !isfinite(numbers[r])) abort();
            if (codes && (codes[r] < -1 || codes[r] >= tn_table_level_count(t, c))) abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_table *table;
    tn_csv_options options = {.struct_size = sizeof options};
    if (size == 0) return 0;
    options.no_header = data[0] & 1;
    options.separator = data[0] & 2 ? ';' : ',';
    options.decimal = data[0] & 4 && options.separator == ';' ? ',' : '.';
    unsigned char *copy = malloc(size); /* of exactly its size */
    if (!copy) return 0;
    memcpy(copy, data + 1, size - 1);
    if (tn_table_read_memory(copy, size - 1, "fuzz.csv", &options, &table) == TN_OK) {
        look(table);
        tn_table_destroy(table);
    } else if (!*tn_last_error()) {
        abort();
    }
    free(copy);
    return 0;
}
