/* Sequences: lists of tensors at run time.
 *
 * An element is an immutable dense copy that any number of sequences share by counting references, so that growing a
 * sequence in a loop (SequenceInsert makes a new one each time) costs pointers, not tensors. Strings are copied with
 * their bytes. A sequence is for one thread at a time; what it shares may be dropped on any thread. */
#ifndef TN_SEQUENCE_H
#define TN_SEQUENCE_H

#include "graph/op.h"

/* An empty sequence of unknown dtype; NULL with a sentence on failure. */
tn_sequence *tn_sequence_create(const tn_allocator *allocator);
void tn_sequence_destroy(tn_sequence *sequence); /* accepts NULL */
/* Empties it and forgets its dtype. */
void tn_sequence_clear(tn_sequence *sequence);
/* Makes `sequence` hold the elements of `from`, which it shares. */
tn_status tn_sequence_assign(tn_sequence *sequence, const tn_sequence *from);

#endif
