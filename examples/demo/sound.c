/* Silero VAD on speech in the hum of a machine: a stream in pieces of 32 ms, each with the end of the one before it and
 * a state that goes round. SwiftF0 on notes and on the same speech. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "demo.h"

enum { RATE = 16000, PIECE = 512, BEFORE = 64, STATE = 256, HOP = 256, MAX_NOTES = 16 };

/* Piece k with the 64 samples before it, zeros where the sound has not begun or is over. */
static void put_piece(float *to, const float *samples, int count, int k) {
    for (int i = 0; i < BEFORE + PIECE; i++) {
        int at = k * PIECE - BEFORE + i;
        to[i] = at >= 0 && at < count ? samples[at] : 0;
    }
}

static void stream(net *n, const float *samples, int count, float *chances) {
    float *state = net_input(n, "state", TN_FLOAT32, 3, (int64_t[]){2, 1, 128});
    memset(state, 0, STATE * sizeof *state);
    if (tn_model_input_index(n->model, "sr") >= 0) *(int64_t *)net_input(n, "sr", TN_INT64, 0, NULL) = RATE;
    for (int k = 0; k * PIECE < count; k++) {
        put_piece(net_input(n, "input", TN_FLOAT32, 2, (int64_t[]){1, BEFORE + PIECE}), samples, count, k);
        net_run(n);
        chances[k] = (float)tensor_at(net_output(n, "output"), 0);
        memcpy(state, tn_tensor_const_data(net_output(n, "stateN")), STATE * sizeof *state);
    }
}

/* All pieces at once: the state goes round inside the model. */
static void sequence(net *n, const float *samples, int count, float *chances) {
    int pieces = (count + PIECE - 1) / PIECE;
    float *x = net_input(n, "input", TN_FLOAT32, 2, (int64_t[]){pieces, BEFORE + PIECE});
    for (int k = 0; k < pieces; k++) put_piece(x + k * (BEFORE + PIECE), samples, count, k);
    memset(net_input(n, "h", TN_FLOAT32, 3, (int64_t[]){1, 1, 128}), 0, STATE / 2 * sizeof *x);
    memset(net_input(n, "c", TN_FLOAT32, 3, (int64_t[]){1, 1, 128}), 0, STATE / 2 * sizeof *x);
    net_run(n);
    for (int k = 0; k < pieces; k++) chances[k] = (float)tensor_at(net_output(n, "speech_probs"), k);
}

/* Stretches of pieces above one half; pauses below 0.3 s belong to the speech. */
static int stretches(const float *chances, int pieces, note *out) {
    const double length = (double)PIECE / RATE;
    int count = 0;
    for (int k = 0; k < pieces; k++) {
        if (chances[k] < 0.5f) continue;
        if (count == 0 || k * length - out[count - 1].end > 0.3) {
            if (count == MAX_NOTES) break;
            out[count++].start = k * length;
        }
        out[count - 1].end = (k + 1) * length;
    }
    return count;
}

void demo_speech(demo *d) {
    static const char *const models[] = {"silero_vad/silero_vad",
                                         "silero_vad/silero_vad_16k_op15",
                                         "silero_vad/silero_vad_half",
                                         "silero_vad/silero_vad_op18_ifless",
                                         "silero_vad/silero_vad_openvino_16k",
                                         "silero_vad/silero_vad_16k_sequence"};
    enum { MODELS = sizeof models / sizeof *models };
    note spoken[MAX_NOTES], heard[MAX_NOTES];
    int count, said = read_notes(d->inputs, "speech.txt", spoken, MAX_NOTES);
    float *samples = read_wave(d->inputs, "speech.wav", &count);
    int pieces = (count + PIECE - 1) / PIECE;
    float *chances = need(malloc((size_t)pieces * sizeof *chances));
    for (int i = 0; i < said; i++)
        printf("  played from %.2f to %.2f s: \"%s\"\n", spoken[i].start, spoken[i].end, spoken[i].what);
    for (int m = 0; m < MODELS; m++) {
        net *n = net_open(d, models[m]);
        n->every = 16;
        (m == MODELS - 1 ? sequence : stream)(n, samples, count, chances);
        int found = stretches(chances, pieces, heard), right = 0;
        char text[256] = "";
        for (int i = 0; i < found; i++) {
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.2f-%.2f s", i ? ", " : "", heard[i].start,
                     heard[i].end);
            /* Recordings begin and end with silence of their own. */
            right += i < said && heard[i].start >= spoken[i].start - 0.1 && heard[i].end <= spoken[i].end + 0.3 &&
                     heard[i].end - heard[i].start > 0.5 * (spoken[i].end - spoken[i].start);
        }
        expect(d, found == said && right == said, "%-36s speech at %s", models[m], text);
    }
    free(chances);
    free(samples);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median pitch of the frames that have one, between two times; 0 if none has. */
static double median_pitch(const net *n, double start, double end, int *out_frames) {
    const tn_tensor *pitch = net_output(n, "pitch"), *confidence = net_output(n, "confidence");
    double *found = need(malloc((size_t)tn_tensor_count(pitch) * sizeof *found + 1));
    int count = 0;
    for (int64_t i = 0; i < tn_tensor_count(pitch); i++) {
        double at = (double)i * HOP / RATE;
        if (at >= start && at < end && tensor_at(confidence, i) >= 0.5) found[count++] = tensor_at(pitch, i);
    }
    qsort(found, (size_t)count, sizeof *found, by_size);
    double median = count ? found[count / 2] : 0;
    free(found);
    *out_frames = count;
    return median;
}

/* `lowest` and above, in Hz: keeps the hum of a machine from being taken for a voice. */
static void hear(net *n, const char *folder, const char *file, float lowest) {
    int count;
    float *samples = read_wave(folder, file, &count);
    memcpy(net_input(n, "audio", TN_FLOAT32, 2, (int64_t[]){1, count}), samples, (size_t)count * sizeof *samples);
    *(float *)net_input(n, "fmin", TN_FLOAT32, 0, NULL) = lowest;
    *(float *)net_input(n, "fmax", TN_FLOAT32, 0, NULL) = 2093.75f;
    free(samples);
    net_run(n);
}

void demo_pitch(demo *d) {
    note notes[MAX_NOTES];
    int frames;
    net *n = net_open(d, "swift_f0/model");
    hear(n, d->inputs, "tones.wav", 46.875f);
    int count = read_notes(d->inputs, "tones.txt", notes, MAX_NOTES);
    for (int i = 0; i < count; i++) {
        double played = atof(notes[i].what), heard = median_pitch(n, notes[i].start + 0.1, notes[i].end - 0.1, &frames);
        expect(d, fabs(heard / played - 1) < 0.01, "%.1f to %.1f s: heard %.2f Hz, played %.2f Hz", notes[i].start,
               notes[i].end, heard, played);
    }
    hear(n, d->inputs, "speech.wav", 75);
    count = read_notes(d->inputs, "speech.txt", notes, MAX_NOTES);
    for (int i = 0; i < count; i++) {
        double heard = median_pitch(n, notes[i].start, notes[i].end, &frames);
        expect(d, heard > 60 && heard < 350, "\"%s\": a voice of about %.0f Hz, voiced for %.1f s", notes[i].what,
               heard, (double)frames * HOP / RATE);
    }
}
