#include "lanes_loops.h"
