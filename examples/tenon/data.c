/* tenon data: raw data, before they are a model's. */
#include <string.h>
#include "tool.h"

bool csv_options(const settings *s, tn_csv_options *out) {
    *out = (tn_csv_options){.struct_size = sizeof *out, .no_header = s->no_header};
    const char *separator = s->separator ? s->separator : ",", *decimal = s->decimal ? s->decimal : ".";
    if (strcmp(separator, "tab") == 0) separator = "\t";
    if (strlen(separator) != 1 || strlen(decimal) != 1) {
        complain("--separator and --decimal take one character each");
        return false;
    }
    out->separator = *separator;
    out->decimal = *decimal;
    return true;
}

static void print_json(const tn_survey *survey, const char *path) {
    json j = json_open(stdout);
    emit_object(&j, NULL);
    emit_text(&j, "file", path);
    emit_int(&j, "rows", tn_survey_rows(survey));
    emit_array(&j, "columns");
    for (int i = 0; i < tn_survey_column_count(survey); i++) {
        tn_column_info info = {.struct_size = sizeof info};
        tn_survey_column(survey, i, &info);
        emit_object(&j, NULL);
        emit_text(&j, "name", info.name);
        emit_text(&j, "type", info.type == TN_COLUMN_TEXT ? "text" : info.whole ? "whole" : "number");
        emit_int(&j, "values", info.values);
        emit_int(&j, "missing", info.missing);
        if (info.levels >= 0) emit_int(&j, "levels", info.levels);
        if (info.type == TN_COLUMN_NUMBER && info.values) {
            emit_number(&j, "least", info.least);
            emit_number(&j, "greatest", info.greatest);
            emit_number(&j, "mean", info.mean);
            emit_number(&j, "deviation", info.deviation);
        }
        emit_end(&j);
    }
    emit_end(&j);
    emit_end(&j);
}

static void print_table(const tn_survey *survey, const char *path) {
    printf("%s: %lld rows, %d columns\n", path, (long long)tn_survey_rows(survey), tn_survey_column_count(survey));
    printf("%-24s %-7s %10s %7s %12s %12s %12s %12s\n", "column", "type", "missing", "levels", "least", "greatest",
           "mean", "deviation");
    for (int i = 0; i < tn_survey_column_count(survey); i++) {
        char levels[16];
        tn_column_info info = {.struct_size = sizeof info};
        tn_survey_column(survey, i, &info);
        snprintf(levels, sizeof levels, info.levels < 0 ? ">1000" : "%d", info.levels);
        printf("%-24s %-7s %10lld %7s", info.name,
               info.type == TN_COLUMN_TEXT ? "text"
               : info.whole                ? "whole"
                                           : "number",
               (long long)info.missing, levels);
        if (info.type == TN_COLUMN_NUMBER && info.values)
            printf(" %12.6g %12.6g %12.6g %12.6g", info.least, info.greatest, info.mean, info.deviation);
        printf("\n");
    }
}

static int describe(const settings *s) {
    tn_survey *survey;
    tn_csv_options options;
    const char *path = s->operands.items[1];
    if (!csv_options(s, &options)) return EXIT_USAGE;
    progress(s, "reading %s", path);
    tn_status status = tn_survey_read(path, &options, &survey);
    progress(s, NULL);
    if (status != TN_OK) {
        complain_status(path, status);
        return EXIT_FAILED;
    }
    if (s->json)
        print_json(survey, path);
    else
        print_table(survey, path);
    tn_survey_destroy(survey);
    return EXIT_OK;
}

static const struct verb {
    const char *name;
    size_t operands; /* the verb included */
    int (*run)(const settings *s);
    const char *usage;
} verbs[] = {{"describe", 2, describe, "FILE.csv"}};

int data_command(const settings *s) {
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].name, s->operands.items[0]) != 0) continue;
        if (s->operands.count == verbs[i].operands) return verbs[i].run(s);
        complain("tenon data %s %s", verbs[i].name, verbs[i].usage);
        return EXIT_USAGE;
    }
    complain("tenon data has no verb '%s'; tenon data --help lists them", s->operands.items[0]);
    return EXIT_USAGE;
}
