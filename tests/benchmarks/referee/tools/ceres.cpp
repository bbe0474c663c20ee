// Ceres' GradientChecker of a cost function that calls back: value and gradient are functions of the caller.
#include <ceres/ceres.h>
#include <ceres/gradient_checker.h>

#include <cstring>
#include <string>

using Value = double (*)(const double* x);
using Gradient = void (*)(const double* x, double* out);

namespace {

class Claimed : public ceres::CostFunction {
 public:
  Claimed(int n, Value value, Gradient gradient) : value_(value), gradient_(gradient) {
    set_num_residuals(1);
    mutable_parameter_block_sizes()->push_back(n);
  }

  bool Evaluate(double const* const* parameters, double* residuals, double** jacobians) const override {
    residuals[0] = value_(parameters[0]);
    if (jacobians != nullptr && jacobians[0] != nullptr) gradient_(parameters[0], jacobians[0]);
    return true;
  }

 private:
  Value value_;
  Gradient gradient_;
};

}  // namespace

extern "C" {

const char* version() { return CERES_VERSION_STRING; }

// 1 where the check passes.  error: the largest relative error; said: what it says, cut to `room` bytes.
int probe(int n, const double* x, Value value, Gradient gradient, double precision, double* error, char* said, int room) {
  const Claimed cost(n, value, gradient);
  const std::vector<const ceres::Manifold*>* manifolds = nullptr;
  ceres::GradientChecker checker(&cost, manifolds, ceres::NumericDiffOptions());
  ceres::GradientChecker::ProbeResults results;
  const double* parameters[] = {x};
  const bool good = checker.Probe(parameters, precision, &results);
  *error = results.maximum_relative_error;
  std::strncpy(said, results.error_log.c_str(), room - 1);
  said[room - 1] = '\0';
  return good;
}
}
