// What the files of bindings/ share. pybind11 stays in this folder.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/array.h"

namespace pyharmony {

namespace py = pybind11;

void bind_array_view(py::module_& m);
void bind_cuda(py::module_& m);
void bind_gaussian_poisson(py::module_& m);
void bind_gaussian_poisson_cuda(py::module_& m);
void bind_gaussian_poisson_rectangle(py::module_& m);
void bind_distance(py::module_& m);
void bind_pyramid(py::module_& m);
void bind_poisson(py::module_& m);

}  // namespace pyharmony
