/* Real models on real input, through the public headers alone.
 *
 * A demo opens nets, fills their inputs, runs them and says in words what came out. Each run of a net can be recorded
 * as a test case (model.onnx, test_data_set_N/input_K.pb) and compared with what a reference made of it (output_K.pb).
 * What cannot be done ends the program with a sentence. */
#ifndef DEMO_H
#define DEMO_H

#include <tenon/tenon.h>

/* ---- nets: net.c ---- */

#define NET_PORTS 4

typedef struct net {
    const char *name; /* the model's file below the folder of models, without .onnx */
    struct demo *demo;
    tn_model *model;
    tn_session *session;
    tn_tensor *inputs[NET_PORTS];
    int every;           /* of this many runs one is recorded and compared: 1, unless a demo sets more */
    int runs, compared;  /* so far */
    int timed;           /* runs behind the latency */
    double milliseconds; /* median, one thread */
    double gap[NET_PORTS],
        largest[NET_PORTS]; /* of each output: from the reference, and of its elements, in all runs */
    struct net *next;
} net;

typedef struct demo {
    const char *models, *inputs; /* folders */
    const char *record;          /* folder to write test cases to; NULL: none */
    const char *compare;         /* folder of test cases with the reference's outputs; NULL: none */
    net *nets;
    int failures;
} demo;

net *net_open(demo *d, const char *name);
/* Room for an input of that shape: the caller fills it before the next run. */
void *net_input(net *n, const char *name, tn_dtype dtype, int rank, const int64_t *dims);
void net_run(net *n);
const tn_tensor *net_output(const net *n, const char *name);
void net_close(net *n);
/* The greatest difference of an output from the reference, as a part of the largest element that it ever had. */
double net_difference(const net *n);
/* What a file beside the net's test cases says: a number, and the reason for it ("" if there is none). */
double net_reference_number(const net *n, const char *file, double fallback, char reason[256]);

double tensor_at(const tn_tensor *tensor, int64_t index);
/* Where the greatest of `count` elements from `from` on is, counted from there. */
int64_t tensor_greatest(const tn_tensor *tensor, int64_t from, int64_t count);

/* ---- helpers: help.c ---- */

void must(tn_status status);
void *need(void *pointer); /* ends the program if it is NULL */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A line of the result; `good` false counts as a failure of the demo. */
void expect(demo *d, bool good, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The whole file in memory that the caller frees, a zero behind it. */
char *read_file(const char *folder, const char *name, size_t *out_size);
/* Mono 16-bit sound as numbers from -1 to 1. */
float *read_wave(const char *folder, const char *name, int *out_count);

typedef struct note {
    double start, end; /* seconds */
    char what[64];
} note;
int read_notes(const char *folder, const char *name, note *notes, int capacity);

/* ---- pictures: picture.c ---- */

typedef struct picture {
    int width, height;
    unsigned char *rgb; /* rows of pixels of 3 bytes */
} picture;

picture *picture_read(const char *folder, const char *name);
picture *picture_new(int width, int height);
picture *picture_resized(const picture *p, int width, int height); /* bilinear */
picture *picture_cropped(const picture *p, int x, int y, int width, int height);
picture *picture_turned(const picture *p, int quarters); /* clockwise */
void picture_free(picture *p);
/* Planes of (colour - mean) / deviation in the order blue, green, red, into the left upper corner of planes of
 * width * height floats. */
void picture_planes(const picture *p, float *planes, int width, int height, const float mean[3],
                    const float deviation[3]);

/* ---- text: text.c ---- */

typedef struct tokens {
    int count;
    char **texts; /* in the order of their numbers */
} tokens;

tokens tokens_read(const char *folder, const char *name);
/* A blank, the lines of `lines`, and a space: how PaddleOCR numbers characters. */
tokens tokens_of_lines(const char *lines);
void tokens_free(tokens *t);
/* The number of the token that is these bytes. */
int tokens_find(const tokens *t, const char *text, size_t size, int fallback);
/* Bytes of the UTF-8 character at text; 0 at the end. */
size_t character_size(const char *text);
int character_count(const char *text);

typedef struct words {
    char text[256];
    double confidence; /* the mean of what was chosen */
} words;
/* The best path of a net trained with connectionist temporal classification: number 0 is the blank, repetitions are
 * one. `output` is [steps, 1, classes] or [1, steps, classes]. */
words ctc_decode(const tn_tensor *output, const tokens *t);

/* ---- demos ---- */

void demo_plate(demo *d);
void demo_orientation(demo *d);
void demo_captcha(demo *d);
void demo_speech(demo *d);
void demo_pitch(demo *d);
void demo_vowels(demo *d);
void demo_names(demo *d);
void demo_morphemes(demo *d);

#endif
