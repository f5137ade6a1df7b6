// SPDX-License-Identifier: Apache-2.0
// The MPI module: a library beside the programs, opened where a launcher started several ranks. The only file that is
// compiled against MPI.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "kernels/seams/common/mpi_verbs.h"

namespace ito {
namespace {

constexpr size_t kPiece = size_t{1} << 30;  // MPI counts in int
constexpr int kTag = 1;
std::string last_error;

const char* report(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  last_error = std::move(text);
  return last_error.c_str();
}

const char* report(int status, const char* call) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(status, text, &length);
  return report(std::string(call) + ": " + text);
}

const char* start(MpiPlace* place) {
  int provided = 0;
  if (const int status = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided))
    return report(status, "MPI_Init_thread");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (provided < MPI_THREAD_SERIALIZED) return report("this MPI takes calls from its first thread alone");
  MPI_Comm_rank(MPI_COMM_WORLD, &place->rank);
  MPI_Comm_size(MPI_COMM_WORLD, &place->size);
  char name[MPI_MAX_PROCESSOR_NAME] = "";
  int length = 0;
  MPI_Get_processor_name(name, &length);
  *std::copy_n(name, std::min<size_t>(static_cast<size_t>(length), sizeof place->host - 1), place->host) = 0;
  MPI_Comm local;
  if (const int status = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local))
    return report(status, "MPI_Comm_split_type");
  MPI_Comm_rank(local, &place->local_rank);
  MPI_Comm_size(local, &place->local_size);
  MPI_Comm_free(&local);
  return nullptr;
}

// Calls piece(data, count, peer) for each piece of each message.
template <class F>
const char* for_each_piece(const MpiMessage* messages, size_t count, F&& piece) {
  for (size_t i = 0; i < count; ++i) {
    size_t at = 0;
    do {  // a message of nothing is one piece: a peer that expects more is found out
      const size_t bytes = std::min(kPiece, messages[i].bytes - at);
      if (const char* error =
              piece(static_cast<char*>(messages[i].data) + at, static_cast<int>(bytes), messages[i].peer))
        return error;
      at += bytes;
    } while (at < messages[i].bytes);
  }
  return nullptr;
}

// Of a wait with an end; what is still on its way then has no one to wait for it, since the caller gives up.
const char* wait_until(std::vector<MPI_Request>& requests, const MpiMessage* receives, size_t receive_count,
                       double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (int done = 0; std::chrono::steady_clock::now() < end;) {
    int finished = 1;
    for (const MPI_Request& request : requests) {
      if (const int status = MPI_Request_get_status(request, &done, MPI_STATUS_IGNORE))
        return report(status, "MPI_Request_get_status");
      finished &= done;
    }
    if (finished) return nullptr;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::string missing;
  for (size_t i = 0; i < receive_count; ++i) {
    int done = 0;
    MPI_Request_get_status(requests[i], &done, MPI_STATUS_IGNORE);
    if (!done) missing += (missing.empty() ? "" : ", ") + std::to_string(receives[i].peer);
  }
  return report("after " + std::to_string(static_cast<int>(seconds)) + " s no word has come from rank " + missing);
}

const char* exchange(const MpiMessage* sends, size_t send_count, const MpiMessage* receives, size_t receive_count,
                     double seconds) {
  std::vector<MPI_Request> requests;
  struct Expected {
    int peer, bytes;
  };
  std::vector<Expected> expected;
  const char* error = for_each_piece(receives, receive_count, [&](char* data, int bytes, int peer) -> const char* {
    expected.push_back({peer, bytes});
    requests.push_back(MPI_REQUEST_NULL);
    const int status = MPI_Irecv(data, bytes, MPI_BYTE, peer, kTag, MPI_COMM_WORLD, &requests.back());
    return status ? report(status, "MPI_Irecv") : nullptr;
  });
  if (error) return error;
  error = for_each_piece(sends, send_count, [&](char* data, int bytes, int peer) -> const char* {
    requests.push_back(MPI_REQUEST_NULL);
    const int status = MPI_Isend(data, bytes, MPI_BYTE, peer, kTag, MPI_COMM_WORLD, &requests.back());
    return status ? report(status, "MPI_Isend") : nullptr;
  });
  if (error) return error;
  if (seconds > 0)
    if (const char* late = wait_until(requests, receives, receive_count, seconds)) return late;
  std::vector<MPI_Status> statuses(requests.size());
  const int status = MPI_Waitall(static_cast<int>(requests.size()), requests.data(), statuses.data());
  for (size_t i = 0; i < requests.size(); ++i) {
    if (status == MPI_ERR_IN_STATUS && statuses[i].MPI_ERROR != MPI_SUCCESS && statuses[i].MPI_ERROR != MPI_ERR_PENDING)
      return report(statuses[i].MPI_ERROR, i < expected.size()
                                               ? ("receive of " + std::to_string(expected[i].bytes) +
                                                  " bytes from rank " + std::to_string(expected[i].peer))
                                                     .c_str()
                                               : "send");
    int bytes = 0;
    if (status || i >= expected.size()) continue;
    MPI_Get_count(&statuses[i], MPI_BYTE, &bytes);
    if (bytes != expected[i].bytes)
      return report("rank " + std::to_string(expected[i].peer) + " sent " + std::to_string(bytes) +
                    " bytes, expected " + std::to_string(expected[i].bytes));
  }
  return status ? report(status, "MPI_Waitall") : nullptr;
}

const char* broadcast(void* data, size_t bytes, int root) {
  for (size_t at = 0; at < bytes; at += kPiece) {
    const int count = static_cast<int>(std::min(kPiece, bytes - at));
    if (const int status = MPI_Bcast(static_cast<char*>(data) + at, count, MPI_BYTE, root, MPI_COMM_WORLD))
      return report(status, "MPI_Bcast");
  }
  return nullptr;
}

const char* barrier() {
  const int status = MPI_Barrier(MPI_COMM_WORLD);
  return status ? report(status, "MPI_Barrier") : nullptr;
}

const char* finish() {
  const int status = MPI_Finalize();
  return status ? report("MPI_Finalize failed") : nullptr;
}

void abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
}

}  // namespace
}  // namespace ito

extern "C" __attribute__((visibility("default"))) const ito::MpiVerbs* ito_mpi_verbs() {
  static constexpr ito::MpiVerbs verbs = {ito::kMpiVerbsVersion, ito::start,  ito::exchange, ito::broadcast,
                                          ito::barrier,          ito::finish, ito::abort};
  return &verbs;
}
