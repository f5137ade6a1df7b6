// SPDX-License-Identifier: Apache-2.0
// See session.h. The handle lives as long as the process.
#include "kernels/seams/cuda/session.h"

#include <cstdio>

#include "kernels/seams/cuda/stream.h"

namespace ito::cuda {

cudaStream_t native_stream(Stream& stream) {
  return stream.impl().handle;
}

void check_launched(Stream& stream, const char* name) {
  check_launch(stream, name);
}

Session* session() {
  static Session* const only = []() -> Session* {
    if (!device_usable()) return nullptr;  // said by whoever needs it; a program that only looks at a model does not
    const Cudnn* api = cudnn();
    if (!api) return nullptr;
    Session* made = new Session;  // never destroyed: at exit the driver may be gone before it
    made->api = api;
    const AllowCallsInCapture allow;
    const cudnnStatus_t status = api->cudnnCreate(&made->handle);
    if (status == CUDNN_STATUS_SUCCESS) return made;
    delete made;
    warn(CudnnError(*api, "create a handle", status).what(),
         "; convolutions use the portable kernels, which use no tensor cores");
    return nullptr;
  }();
  return only;
}

AllowCallsInCapture::AllowCallsInCapture() {
  cudaThreadExchangeStreamCaptureMode(&mode_);
}
AllowCallsInCapture::~AllowCallsInCapture() {
  cudaThreadExchangeStreamCaptureMode(&mode_);
}

}  // namespace ito::cuda
