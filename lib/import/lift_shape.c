#include "import/lift.h"
const tn_lift_rule tn_lift_shape[] = {{0}};
