/* The tenon command: finds the subcommand, and holds what all of them need of the terminal and the clock. */
#include "tool.h"
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const command commands[] = {
    {"train", TRAIN, train_command, "PLAN.yaml", "train a model as a plan says; measure it, write it as .tenon",
     "tenon/plan.h says what can be in a plan. Ctrl-C stops with a checkpoint, and a run that is killed has one of the "
     "last "
     "second\nor the last epoch; --resume goes on from it, and begins where there is none.\n"},
    {"tune", TUNE, tune_command, "STUDY.yaml", "try a plan's hyperparameters; keep the best",
     "tenon/tune.h says what can be in a study. It goes on from its own file after Ctrl-C or a crash; a study that is "
     "done is\nshown again, and --trials makes it longer.\n"},
    {"eval", EVAL, eval_command, "MODEL DATA.csv", "measure a trained model on raw data",
     "The columns go through the pipeline in the model's file. Metrics come with intervals (bootstrap, 95 %), and with "
     "the gap\nto what the file says of the rows for training.\n"},
    {"ensemble", ENSEMBLE, ensemble_command, "ENSEMBLE.yaml | OUT MEMBER...",
     "make one model of several that answers as all of them",
     "tenon/ensemble.h says what can be in the YAML. OUT is a .tenon or .onnx, the members as well; what is fitted "
     "goes "
     "through\nthe pipeline in the members' files.\n"},
    {"run", RUN, run_command, "MODEL", "run a model once, on files or on random input; compare its outputs",
     "An input is NAME=FILE (.npy, .npz or ONNX's .pb); an .npz without NAME= gives all its arrays by their names, a "
     "folder\nits input_0.pb, input_1.pb... Inputs that are not given are random.\n"
     "--output takes a folder, an .npz for all outputs, or an .npy or .pb for the first one; --compare the same, or "
     "NAME=FILE.\n"},
    {"inspect", INSPECT, inspect_command, "MODEL",
     "say what is in a model: operators, shapes, parameters, work, memory",
     "Shapes are those of a session prepared for the dims that are given; symbols that are not are 1.\n"},
    {"bench", BENCH, bench_command, "MODEL", "measure a model's latency",
     "Time per operator is measured in runs of their own, so that reading the clock does not disturb the latency.\n"},
    {"check", CHECK, check_command, "MODEL", "say whether a model is valid and Tenon runs all of it",
     "The model is loaded, prepared and run on random input, and its self-test is run if it has one; the exit code is "
     "0 if\nall of that works. What is in the file that no model needs is told of: programs, scripts, pickles, "
     "constants that\nno node reads (tn_scan of tenon/risk.h).\n"},
    {"convert", CONVERT, convert_command, "IN OUT", "write a model in another form",
     "The form is that of OUT's name: .onnx or .tenon, or .safetensors for the weights alone. What is there is "
     "replaced by\nthe "
     "complete new file, or stays.\n"
     "A manifest goes along from .tenon to .tenon, and through .onnx, as metadata; --manifest gives another.\n"},
    {"compress", COMPRESS, compress_command, "MODEL OUT --data PATH | RECIPE.yaml", "make a model smaller and faster",
     "OUT is an .onnx or .tenon, for Tenon and for ONNX Runtime. The data are real inputs, some tens or hundreds of "
     "them;\n"
     "arrays of an .npz (by the inputs' names) or .npy are cut along their first axis into the model's batches.\n"
     "A recipe (tenon/recipe.h) chains steps and has bounds; its paths begin in its folder. After Ctrl-C or a crash "
     "the "
     "same\nrecipe goes on from what it keeps in OUTPUT.steps, and makes the same.\n"},
    {"store", STORE, store_command, "VERB FOLDER ...", "keep versions of models in a folder",
     "tenon store create FOLDER              a new, empty store\n"
     "tenon store put FOLDER FILE NAME:1.2.0 a new version; --parent, --licence, --description say more of it\n"
     "tenon store get FOLDER REFERENCE FILE  a version's file, checked\n"
     "tenon store find FOLDER REFERENCE      which version that is\n"
     "tenon store list FOLDER                all versions\n"
     "tenon store log FOLDER                 who changed what, and when\n"
     "tenon store diff FOLDER REFERENCE REFERENCE  what changed in structure, parameters and metrics\n"
     "tenon store remove FOLDER REFERENCE    it is no version any more\n"
     "tenon store collect FOLDER             free what no version needs\n"
     "tenon store verify FOLDER              read and check every byte; the exit code is 0 if all is whole\n"
     "tenon store repair FOLDER [MIRROR]     bring back what is damaged, from another store\n"
     "tenon store backup FOLDER FILE         all of it in one file; --since EARLIER: what came since; --compress\n"
     "tenon store restore FOLDER FILE...     a backup, and those since it as far as wanted; into a store or a new "
     "folder\n"
     "tenon store upgrade FOLDER REFERENCE   its next version: --parameters, --structure or --module FILE; --backup "
     "FILE\n"
     "tenon store push FOLDER REFERENCE HOST/REPOSITORY[:TAG]  a version to a registry\n"
     "tenon store pull FOLDER HOST/REPOSITORY:TAG  and from one (or @sha256:HEX); goes on where it was cut\n"
     "tenon store follow FOLDER NAME@CHANNEL MIRROR HOST/REPOSITORY  trust update, then pull what the channel is at\n"
     "                                       --every SECONDS, --mqtt BROKER --topic TOPIC: and go on\n"
     "tenon store delta FOLDER BASE REFERENCE  put what changed between two versions beside the second\n"
     "tenon store fetch FOLDER FROM REFERENCE  a version from another store's folder, by what changed if it can be; "
     "--most "
     "BYTES\n"
     "tenon store trust FOLDER               what is trusted, and until when\n"
     "tenon store trust FOLDER init KEYS     new keys, and metadata signed with them\n"
     "tenon store trust FOLDER accept ROOT   trust a root that came on a safe way\n"
     "tenon store trust FOLDER update MIRROR follow the metadata in another store's folder trust, or at "
     "its URL\n"
     "tenon store trust FOLDER sign KEYS     sign anew what would expire\n"
     "tenon store trust FOLDER rotate ROLE KEYS  new keys for root, targets, snapshot or timestamp\n"
     "tenon store trust FOLDER clock POLICY  what expiry means: enforce, floor or counter-only\n"
     "tenon store promote FOLDER REFERENCE CHANNEL KEYS  point a channel at a version\n"
     "                                       --gate FILE: only if it shows what the file asks for\n"
     "                                       --mqtt BROKER --topic TOPIC: and announce it (also of push)\n"
     "tenon store gate FOLDER REFERENCE CHANNEL --gate FILE  whether it would; the exit code is 3 if not\n"
     "tenon store channel FOLDER [NAME@CHANNEL]  what channels point at\n\n"
     "A REFERENCE is NAME (the newest that is no pre-release), NAME:1.2.0, a range NAME:^1.2 or NAME:~1.2, a signed "
     "channel\nNAME@stable, or sha256:HEX. KEYS are folders with colons between.\n"},
    {"keygen", KEYGEN, keygen_command, "NAME", "make keys to sign files with",
     "The secret key is NAME.key, which nobody else may read, the public one NAME.pub; both are minisign's too.\n"},
    {"sign", SIGN, sign_command, "FILE", "sign a file of any kind",
     "minisign -V verifies the signature, and secret keys that minisign made can be used.\n"},
    {"verify", VERIFY, verify_command, "FILE", "say whether a file is what the owner of a key signed",
     "The exit code is 0 if it is. Signatures that minisign made are verified as well.\n"},
    {"delta", DELTA, delta_command, "VERB FILE ...", "send what changed in a model instead of all of it",
     "tenon delta make OLD NEW DELTA   what makes NEW of OLD, tensor by tensor\n"
     "tenon delta apply OLD DELTA NEW  make it, checked; goes on where it was cut off, in NEW.part\n"
     "tenon delta show DELTA           what it makes of what, and how much of it is there\n"},
    {"data", DATA, data_command, "VERB FILE ...", "look at raw data",
     "tenon data describe FILE.csv  types, missing values and ranges of the columns; .csv.gz too\n"},
    {0},
};

void complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("tenon: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

bool complain_status(const char *what, tn_status status) {
    const char *sentence = tn_last_error();
    if (!sentence[0]) sentence = tn_status_text(status);
    if (strncmp(sentence, what, strlen(what)) == 0) /* it names the file itself */
        complain("%s", sentence);
    else
        complain("%s: %s", what, sentence);
    return false;
}

void *tool_alloc(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (memory) return memory;
    complain("no memory for %zu times %zu bytes", count, size);
    exit(EXIT_FAILED);
}

double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

void progress(const settings *s, const char *format, ...) {
    static double last;
    if (s->quiet || !isatty(STDERR_FILENO)) return;
    if (format && now_ms() - last < 100) return;
    fputs("\r\033[K", stderr);
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        last = now_ms();
    }
    fflush(stderr);
}

static volatile sig_atomic_t stopped;
static tn_session *volatile watched;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    stopped = 1;
    tn_session *session = watched;
    if (session) tn_session_interrupt(session);
}

/* The second Ctrl-C ends the program whatever it does. */
static void handle_interrupts(void (*handler)(int)) {
    struct sigaction action = {.sa_flags = (int)SA_RESETHAND};
    action.sa_handler = handler;
    sigaction(SIGINT, &action, NULL);
}

void watch(tn_session *session) {
    watched = session;
    handle_interrupts(session ? on_interrupt : SIG_DFL);
}

void watch_interrupts(void) {
    handle_interrupts(on_interrupt);
}

bool interrupted(void) {
    return stopped;
}

static void usage(FILE *file) {
    fprintf(file, "tenon %s: run, inspect, measure and keep models\n\nusage: tenon COMMAND ... [OPTIONS]\n\n",
            tn_version());
    for (const command *c = commands; c->name; c++) fprintf(file, "  %-9s%s\n", c->name, c->summary);
    fprintf(file, "\ntenon COMMAND --help lists its options. Exit codes: 0 success, 1 the model, the run or the "
                  "comparison failed,\n2 wrong usage, 3 refused by a gate, 130 interrupted.\n");
}

int main(int count, char **arguments) {
    const char *name = count > 1 ? arguments[1] : NULL;
    if (name && strcmp(name, "--version") == 0) return puts(tn_version()) < 0;
    if (!name || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(name ? stdout : stderr);
        return name ? EXIT_OK : EXIT_USAGE;
    }
    const command *c = commands;
    while (c->name && strcmp(c->name, name) != 0) c++;
    if (!c->name) {
        complain("there is no command '%s'; tenon --help lists them", name);
        return EXIT_USAGE;
    }
    settings s;
    if (!options_parse(c, count - 2, arguments + 2, &s)) return EXIT_USAGE;
    int code = EXIT_OK;
    if (s.help)
        options_help(c);
    else
        code = c->run(&s);
    progress(&s, NULL);
    free(s.inputs.items);
    if (interrupted()) code = EXIT_INTERRUPTED;
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    complain("writing the result failed");
    return code ? code : EXIT_FAILED;
}
