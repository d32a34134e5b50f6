/* Damaged variants of real models: each must end in a model that runs, or in a sentence.
 *
 *     variants [-n COUNT] [-j PROCESSES] [-s SEED] [-v VARIANT] [-t 1] MODEL...
 *
 * COUNT variants in all, shared out evenly: bits flipped and bytes overwritten in numbers (attributes, dims, small tensors),
 * in other structure (nodes, names) and anywhere, and files cut off. What still loads is prepared and run. It fails on a crash, a load or
 * run of 10 s, memory that was not given back, and loading that takes more than the model options' memory_limit. A
 * variant depends on SEED, its file and its number alone: -v and one file show it again; -t 1 tells what becomes of each. */
#include "inputs.h"
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "import/import.h"
#include "import/pb.h"

enum { SECONDS = 10, MOST_INPUTS = 16, MOST_PROCESSES = 64 };
#define RUN_BYTES ((size_t)256 << 20) /* of a session's memory */

static size_t limit_of(size_t file_bytes) {
    return 2 * file_bytes + ((size_t)64 << 20);
}

static uint64_t state;

static size_t draw(size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (size_t)((state >> 20) % below);
}

/* ---- where a file holds what ---- */

typedef struct span {
    size_t start, size;
} span;

typedef struct spans {
    span *list;
    size_t count, capacity, bytes;
} spans;

typedef struct layout {
    const uint8_t *file;
    size_t size;
    spans structure; /* all but weights */
    spans numbers;   /* of it: attributes, dims, small tensors; damage there leaves the file well-formed */
} layout;

static void add(spans *s, size_t start, size_t end) {
    if (end <= start) return;
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 256;
        s->list = realloc(s->list, s->capacity * sizeof *s->list);
        if (!s->list) exit(2);
    }
    s->list[s->count++] = (span){start, end - start};
    s->bytes += end - start;
}

static size_t place(const spans *s) {
    size_t n = draw(s->bytes), i = 0;
    for (; n >= s->list[i].size; i++) n -= s->list[i].size;
    return s->list[i].start + n;
}

/* Fields by their numbers in onnx.proto: messages, and where numbers stand. Other long fields are weights. */
static const struct {
    const char *kind;
    unsigned number;
    const char *inner; /* NULL: numbers */
} fields[] = {{"model", 7, "graph"},   {"model", 25, "function"}, {"graph", 1, "node"},       {"graph", 5, "tensor"},
              {"function", 7, "node"}, {"node", 5, "attribute"},  {"attribute", 5, "tensor"}, {"attribute", 6, "graph"},
              {"attribute", 2, NULL},  {"attribute", 3, NULL},    {"attribute", 7, NULL},     {"attribute", 8, NULL},
              {"tensor", 1, NULL},     {"tensor", 2, NULL},       {"tensor", 4, NULL},        {"tensor", 5, NULL},
              {"tensor", 7, NULL},     {"tensor", 9, NULL}};

enum { SHORT = 256 };

/* `from`: where structure starts that is not noted yet. */
static void walk(layout *l, tn_string message, const char *kind, size_t *from) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f)) {
        const char *inner = NULL;
        size_t end = (size_t)(r.at - l->file), start = f.wire == TN_PB_LEN ? (size_t)(f.data - l->file) : end - 1;
        for (size_t i = 0; i < TN_COUNT(fields); i++) {
            if (fields[i].number != f.number || strcmp(fields[i].kind, kind) != 0) continue;
            inner = fields[i].inner;
            if (!inner && end - start < SHORT) add(&l->numbers, start, end);
        }
        if (inner && f.wire == TN_PB_LEN) {
            walk(l, tn_pb_bytes(&r, &f), inner, from);
        } else if (end - start >= SHORT) {
            add(&l->structure, *from, start);
            *from = end;
        }
    }
}

/* ---- variants ---- */

/* A copy of the file of exactly its size, so that a sanitizer sees what reads beyond it. */
static uint8_t *damage(const layout *l, size_t *size) {
    size_t way = draw(10), changes = 1 + draw(4);
    *size = l->size;
    if (way >= 8) *size = way == 8 ? draw(l->size) : place(&l->structure);
    uint8_t *data = malloc(*size ? *size : 1);
    if (!data) exit(2);
    memcpy(data, l->file, *size);
    for (size_t i = 0; i < changes && way < 8; i++) {
        bool number = way < 4 && l->numbers.bytes; /* a very small model has none */
        size_t at = number ? place(&l->numbers) : way < 6 ? place(&l->structure) : draw(*size);
        if (way % 2)
            data[at] ^= (uint8_t)(1u << draw(8));
        else
            data[at] = (uint8_t)draw(256);
    }
    return data;
}

/* ---- loading and running one ---- */

static struct shared {
    int file, variant;
    int loaded, ran, refused;
    size_t most; /* percent of its limit that a load took */
} * process;

static tn_session *volatile running;
static int tell; /* print what becomes of each variant */

/* A run is asked to stop first; what does not stop hangs. */
static void on_alarm(int signal_number) {
    static const char words[] = "still busy after the time that it has\n";
    (void)signal_number;
    tn_session *session = running;
    if (session) {
        running = NULL;
        tn_session_interrupt(session);
        alarm(SECONDS / 2);
        return;
    }
    if (write(2, words, sizeof words - 1) < 0) _exit(4);
    _exit(3);
}

/* True if it ran with `dim` for unknown dims. The first is a batch of 1, and so is the second of three: states of
 * recurrent layers are [directions, batch, size]. */
static bool run(const tn_model *model, int64_t dim, const uint8_t *data, size_t size) {
    int64_t unknown[TN_MAX_RANK] = {1, dim, dim, dim, dim, dim, dim, dim};
    fuzz_memory memory = {.most = RUN_BYTES};
    const tn_allocator bounded = {sizeof bounded, &memory, fuzz_alloc, fuzz_free};
    tn_session_options options = {sizeof options, .allocator = &bounded};
    tn_tensor *inputs[MOST_INPUTS] = {0};
    tn_session *session = NULL;
    int count = tn_model_input_count(model);
    bool set = size && count <= MOST_INPUTS && tn_session_create(model, &options, &session) == TN_OK;
    for (int i = 0; i < count && set; i++) {
        tn_value_info info;
        set = tn_model_input_info(model, i, &info) == TN_OK;
        unknown[1] = set && info.rank == 3 ? 1 : dim;
        set = set && (inputs[i] = fuzz_input(&info, unknown, data, size, &bounded)) &&
              tn_session_set_input(session, i, inputs[i]) == TN_OK;
    }
    if (set && (set = tn_session_prepare(session) == TN_OK)) {
        running = session;
        alarm(SECONDS / 2);
        set = tn_session_run(session) == TN_OK;
        running = NULL;
    }
    alarm(SECONDS);
    if (tell) printf("%s\n", set ? "runs" : tn_last_error());
    tn_session_destroy(session);
    for (int i = 0; i < count && i < MOST_INPUTS; i++) tn_tensor_destroy(inputs[i]);
    if (memory.used) {
        fprintf(stderr, "a session kept %zu bytes\n", memory.used);
        exit(1);
    }
    return set;
}

/* Unknown dims that the model as it is runs with. */
static int64_t good_dim(const layout *l) {
    static const int64_t dims[] = {32, 512, 256, 48, 8, 1};
    size_t i = 0;
    tn_model *model;
    if (tn_model_load_memory(l->file, l->size, NULL, NULL, &model) != TN_OK) {
        fprintf(stderr, "%s\n", tn_last_error());
        exit(2);
    }
    while (i + 1 < TN_COUNT(dims) && !run(model, dims[i], l->file, l->size)) i++;
    tn_model_destroy(model);
    return dims[i];
}

static void try_one(const layout *l, int64_t dim) {
    size_t size, limit = limit_of(l->size);
    uint8_t *data = damage(l, &size);
    fuzz_memory memory = {.most = PTRDIFF_MAX};
    const tn_allocator counting = {sizeof counting, &memory, fuzz_alloc, fuzz_free};
    tn_model_options options = {sizeof options, .allocator = &counting, .memory_limit = limit};
    tn_model *model;
    alarm(SECONDS);
    if (tn_model_load_memory(data, size, NULL, &options, &model) == TN_OK) {
        size_t peak = memory.peak;
        process->loaded++;
        process->ran += run(model, dim, data, size);
        tn_model_destroy(model);
        memory.peak = peak; /* packing weights is the session's */
    } else {
        process->refused++;
        if (tell) printf("%s\n", tn_last_error());
        if (!*tn_last_error()) {
            fprintf(stderr, "refused without a sentence\n");
            exit(1);
        }
    }
    alarm(0);
    if (memory.used || memory.peak > limit) {
        fprintf(stderr, memory.used ? "loading kept %zu bytes\n" : "loading took %zu bytes of %zu\n",
                memory.used ? memory.used : memory.peak, limit);
        exit(1);
    }
    if (memory.peak * 100 / limit > process->most) process->most = memory.peak * 100 / limit;
    free(data);
}

/* Variants first, first + step... of a file. */
static void try_file(const char *path, int file, int first, int step, int count, uint64_t seed) {
    tn_string contents;
    if (tn_map_file(path, &contents) != TN_OK) {
        fprintf(stderr, "%s\n", tn_last_error());
        exit(2);
    }
    layout l = {.file = (const uint8_t *)contents.data, .size = contents.size};
    size_t from = 0;
    walk(&l, contents, "model", &from);
    add(&l.structure, from, l.size);
    int64_t dim = good_dim(&l);
    for (int i = first; i < count; i += step) {
        process->file = file;
        process->variant = i;
        state = (seed * 0x9E3779B97F4A7C15u + (uint64_t)i) * 0xBF58476D1CE4E5B9u + l.size;
        for (int turn = 0; turn < 4; turn++) draw(2);
        try_one(&l, dim);
    }
    free(l.structure.list);
    free(l.numbers.list);
    tn_unmap_contents(contents);
}

int main(int argc, char **argv) {
    int count = 1000, processes = 1, only = -1, first_file = 1;
    uint64_t seed = 1;
    for (; first_file + 1 < argc && argv[first_file][0] == '-'; first_file += 2) {
        long value = strtol(argv[first_file + 1], NULL, 10);
        switch (argv[first_file][1]) {
        case 'n': count = (int)value; break;
        case 'j': processes = (int)value; break;
        case 's': seed = (uint64_t)value; break;
        case 'v': only = (int)value; break;
        case 't': tell = (int)value; break;
        default: first_file = argc;
        }
    }
    int files = argc - first_file;
    if (files < 1 || processes < 1 || processes > MOST_PROCESSES) {
        fprintf(stderr, "usage: variants [-n COUNT] [-j PROCESSES] [-s SEED] [-v VARIANT] [-t 1] MODEL...\n");
        return 2;
    }
    int each = (count + files - 1) / files, failed = 0;
    struct shared *all =
        mmap(NULL, MOST_PROCESSES * sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return 2;
    signal(SIGALRM, on_alarm);
    pid_t children[MOST_PROCESSES];
    for (int p = 0; p < processes; p++) {
        children[p] = fork();
        if (children[p] != 0) continue;
        process = &all[p];
        for (int f = 0; f < files; f++) {
            if (only >= 0)
                try_file(argv[first_file + f], f, p == 0 ? only : INT_MAX, 1, only + 1, seed);
            else
                try_file(argv[first_file + f], f, p, processes, each, seed);
        }
        exit(0); /* leak checkers report at exit */
    }
    struct shared total = {0};
    for (int p = 0; p < processes; p++) {
        int status = 0;
        if (children[p] < 0 || waitpid(children[p], &status, 0) != children[p] || status != 0) {
            failed++;
            fprintf(stderr, "failed at variant %d of %s: %s\n", all[p].variant, argv[first_file + all[p].file],
                    WIFSIGNALED(status) ? "killed by a signal" : "see above");
        }
        total.loaded += all[p].loaded;
        total.ran += all[p].ran;
        total.refused += all[p].refused;
        if (all[p].most > total.most) total.most = all[p].most;
    }
    printf(
        "%d variants of %d models: %d refused with a sentence, %d loaded, %d of them ran; loading took %zu %% of its "
        "memory limit at most\n",
        total.refused + total.loaded, files, total.refused, total.loaded, total.ran, total.most);
    return failed != 0;
}
