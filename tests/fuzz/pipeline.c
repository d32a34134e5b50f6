/* Fuzzing pipelines: any text is refused with a sentence, or is written and read again as the same; on a small table it is
 * fitted and applied, or refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/pipeline.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const char rows[] = "a,b,c,d,t\n1,x,2,u,2015-03-01\n,y,3,v,2015-03-01T12:30\n4,x,,u,2015-03-02 01:00:00Z\n"
                           "5,,7,v,2015-03-02\n6,x,1,u,2015-03-04\n7,y,2,v,2015-03-05\n";

static void use(tn_pipeline *p) {
    tn_table *table, *prepared;
    tn_tensor *x = NULL, *y = NULL;
    if (tn_table_read_memory(rows, sizeof rows - 1, "rows.csv", NULL, &table) != TN_OK) abort();
    tn_status status = tn_pipeline_prepare(p, table, &prepared);
    if (prepared) {
        tn_table_destroy(table);
        table = prepared;
    }
    uint8_t *part = malloc((size_t)tn_table_rows(table));
    if (status == TN_OK && part && tn_table_rows(table) < 1 << 16 && tn_pipeline_split(p, table, part) == TN_OK &&
        tn_pipeline_fit(p, table, part) == TN_OK && tn_pipeline_apply(p, table, part, 0, &x, &y) == TN_OK) {
        const float *values = tn_tensor_const_data(x);
        for (int64_t i = 0; i < tn_tensor_count(x); i++)
            if (isnan(values[i])) abort();
        if (tn_tensor_dims(x)[1] != tn_pipeline_width(p)) abort();
    }
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    tn_table_destroy(table);
    free(part);
}

static void check_written(tn_pipeline *p) {
    tn_pipeline *again;
    const char *text, *second;
    if (tn_pipeline_write(p, &text) != TN_OK) abort();
    if (strlen(text) >= 1 << 16) return; /* quotes may take a text beyond the limits */
    if (tn_pipeline_parse(text, strlen(text), &again) != TN_OK) abort();
    if (tn_pipeline_write(again, &second) != TN_OK || strcmp(text, second) != 0) abort();
    tn_pipeline_destroy(again);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_pipeline *p;
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    if (tn_pipeline_parse(copy, size, &p) == TN_OK) {
        check_written(p);
        use(p);
        check_written(p);
        tn_pipeline_destroy(p);
    }
    free(copy);
    return 0;
}
