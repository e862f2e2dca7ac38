// Cuts a level into bands of rows, by its size alone, never by the number of threads.
#pragma once

#include "ops/poisson/level.h"

namespace pyharmony::poisson {

int band_rows(const LevelView& level);  // even
int band_count(const LevelView& level);

}  // namespace pyharmony::poisson
