// SPDX-License-Identifier: Apache-2.0
// libito from C: draws images of a model, measures half of their numbers, and draws what could have been measured so.
// Usage: restore MODEL, the path of any model of ito's, mixture.json beside this file among them.
#include <ito.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { kImages = 2, kDraws = 3 };

static int failed(const char* what) {
  fprintf(stderr, "%s: %s\n", what, ito_last_error());
  return EXIT_FAILURE;
}

static void print_warning(const char* text, void* data) {
  (void)data;
  fprintf(stderr, "warning: %s\n", text);
}

static double mean_difference(const float* a, const float* b, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += fabs((double)a[i] - b[i]);
  return sum / (double)count;
}

int main(int argc, char** argv) {
  const char* const options[] = {"device=auto", "batch=8", NULL};
  const char* const steps[] = {"steps=20", NULL};
  const char* const measured = "inpaint:random:0.5";
  ito_facts facts;
  int64_t numbers = 0;
  if (argc != 2) {
    fprintf(stderr, "usage: restore MODEL\n");
    return 2;
  }
  ito_on_warning(print_warning, NULL);
  ito_model* const model = ito_open(argv[1], options);
  if (!model) return failed("open");
  if (ito_describe(model, &facts) || ito_measurements(model, measured, &numbers)) return failed("describe");
  printf("%s on %s: %d x %d x %d, %d timesteps\n", argv[1], ito_device(model), (int)facts.channels, (int)facts.height,
         (int)facts.width, (int)facts.timesteps);
  const size_t size = (size_t)facts.channels * (size_t)facts.height * (size_t)facts.width;
  float* const drawn = malloc(kImages * size * sizeof(float));
  float* const mean = malloc(kImages * size * sizeof(float));
  float* const y = malloc(kImages * (size_t)numbers * sizeof(float));
  if (!drawn || !mean || !y) return EXIT_FAILURE;
  // Labels are NULL: for a model without classes.
  if (ito_sample(model, "ddim", steps, 1, 0, kImages, NULL, drawn)) return failed("sample");
  if (ito_measure(model, measured, kImages, drawn, y)) return failed("measure");
  if (ito_restore(model, measured, 0.0, "ddnm", steps, 1, 0, kImages, y, NULL, kDraws, NULL, mean, NULL))
    return failed("restore");
  printf("mean difference of an image and what it is restored to: %.3f\n",
         mean_difference(drawn, mean, kImages * size));
  free(y);
  free(mean);
  free(drawn);
  ito_close(model);
  return EXIT_SUCCESS;
}
