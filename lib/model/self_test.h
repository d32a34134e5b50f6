/* Self-tests inside the library: as bytes, which are hostile when they come from a file. */
#ifndef TN_SELF_TEST_H
#define TN_SELF_TEST_H

#include <tenon/self_test.h>
#include "base/base.h"
#include "import/pb_write.h"

#define TN_SELF_TEST_BYTES (256u << 20)
#define TN_SELF_TEST_CASES 1024
#define TN_SELF_TEST_TENSORS 1024 /* of one case */

/* The section of a model file. The bytes of tensors stay where they are until it is written out. */
void tn_self_test_put(const tn_self_test *test, tn_pb_out *out);
/* The inputs of another self-test, with what this model gives for them; cases that it does not take are left out. */
tn_status tn_self_test_again(const tn_self_test *old, const tn_model *model, tn_self_test **out_test, int *out_count);
tn_status tn_self_test_read(tn_string section, tn_self_test **out_test);

#endif
