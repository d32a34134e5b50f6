/* How the elements of tensors, and other bytes, are coded in a delta: what they are expected to be, given the base's.
 *
 * Written once for both ways, as coder.h says. Everything is learnt from nothing within a block, so that a block can be
 * read without those before it. */
#ifndef TN_DELTA_ELEMENTS_H
#define TN_DELTA_ELEMENTS_H

#include "delta/coder.h"

/* Numbers are the format's. */
typedef enum tn_element {
    TN_ELEMENT_BYTE,
    TN_ELEMENT_INT8,
    TN_ELEMENT_INT16,
    TN_ELEMENT_INT32,
    TN_ELEMENT_INT64,
    TN_ELEMENT_FLOAT16,
    TN_ELEMENT_BFLOAT16,
    TN_ELEMENT_FLOAT32,
    TN_ELEMENT_FLOAT64,
    TN_ELEMENTS
} tn_element;

typedef enum tn_step_kind { TN_STEP_COPY, TN_STEP_CHANGE, TN_STEP_NEW, TN_STEP_KINDS } tn_step_kind;

/* A step makes the next `length` bytes of the result: COPY takes them from the base, CHANGE from the base with differences,
 * NEW from nothing. */
typedef struct tn_step {
    tn_step_kind kind;
    tn_element element; /* of CHANGE and NEW */
    uint64_t base;      /* where in the base; not of NEW */
    uint64_t length;    /* bytes, a multiple of the element's width */
} tn_step;

int tn_element_width(tn_element element);

typedef struct tn_models tn_models;
tn_models *tn_models_create(void);
void tn_models_destroy(tn_models *m); /* accepts NULL */
/* Forgets all: a block begins, whose first step is expected at this offset of the base. */
void tn_models_reset(tn_models *m, uint64_t base_at);

/* The kind, place and length of a step. A decoder's place and length are whatever was written: check them. False if there
 * is no such kind of step or element. */
bool tn_models_step(tn_models *m, tn_coder *c, tn_step *step);
/* `count` elements of a CHANGE, in pieces as they come; `out` is read by an encoder and written by a decoder. */
void tn_models_change(tn_models *m, tn_coder *c, tn_element element, const uint8_t *base, uint8_t *out, size_t count);
/* `count` elements of a NEW. */
void tn_models_new(tn_models *m, tn_coder *c, tn_element element, uint8_t *out, size_t count);

/* The bits that the difference of two elements has: an estimate of what a CHANGE costs. */
int tn_element_distance(tn_element element, const uint8_t *base, const uint8_t *result);

#endif
