// Library and sample images of this bundle → their classes, how far outputs lie from the expected ones, and the time.
//
// It needs libtvm_runtime and libtvm_ffi, and no Python. `bundle.h` has what is known of this network.
// Exit code: 0 if the outputs agree, 1 if they do not, 2 if something is missing.

#include <dlfcn.h>
#include <tvm/ffi/container/shape.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bundle.h"

namespace ffi = tvm::ffi;

constexpr int POOLED = 2;  // memory that the virtual machine keeps for the next run
constexpr int RUNS = 30;

// Reads the numbers of a .npy file, in NumPy's format 1.0: 10 bytes, of which the last two are the length of the header,
// the header as text, and the numbers.
template <typename Number>
std::vector<Number> read_npy(const std::string& path, const std::string& dtype) {
  std::ifstream file(path, std::ios::binary);
  unsigned char head[10];
  if (!file.read(reinterpret_cast<char*>(head), sizeof head) || std::memcmp(head, "\x93NUMPY\x01", 7) != 0) {
    throw std::runtime_error(path + " is no .npy file of format 1.0");
  }
  std::string header(head[8] + 256 * head[9], ' ');
  file.read(header.data(), static_cast<std::streamsize>(header.size()));
  if (header.find("'descr': '" + dtype + "'") == std::string::npos) {
    throw std::runtime_error(path + " has not the dtype " + dtype + ": " + header);
  }
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<Number> numbers(bytes.size() / sizeof(Number));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(Number));
  return numbers;
}

// Returns 8-bit pixels as the network takes them: each channel has a factor, and an offset that is subtracted.
std::vector<float> normalised(const std::uint8_t* pixels) {
  const std::int64_t plane = bundle::SHAPE[2] * bundle::SHAPE[3];
  std::vector<float> images(bundle::SHAPE[0] * bundle::SHAPE[1] * plane);
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::size_t channel = i / plane % bundle::SHAPE[1];
    images[i] = pixels[i] * bundle::FACTOR[channel] - bundle::OFFSET[channel];
  }
  return images;
}

// The network, loaded and ready to run on the device that it is compiled for.
class Network {
 public:
  explicit Network(const std::string& library) : library_(ffi::Module::LoadFromFile(library)) {
    machine_ = (*library_->GetFunction("vm_load_executable", true))().cast<ffi::Module>();
    const ffi::Function start = *(*machine_)->GetFunction("vm_initialization");
    if (bundle::DEVICE == kDLCPU) {
      start(static_cast<int>(kDLCPU), 0, POOLED);
    } else {  // outputs lie in the memory of the processor
      start(static_cast<int>(bundle::DEVICE), 0, POOLED, static_cast<int>(kDLCPU), 0, POOLED);
    }
    main_ = *(*machine_)->GetFunction("main");
    const ffi::Function allocate = ffi::Function::GetGlobalRequired("runtime.TVMTensorAllocWithScope");
    const DLDataType float32{kDLFloat, 32, 1};
    const ffi::Shape shape(std::begin(bundle::SHAPE), std::end(bundle::SHAPE));
    input_ = allocate(shape, float32, DLDevice{bundle::DEVICE, 0}, nullptr).cast<ffi::Tensor>();
  }

  // Brings images to the device, which takes them with the next run.
  void set(std::vector<float> images) {
    static const ffi::Function copy = ffi::Function::GetGlobalRequired("runtime.TVMTensorCopyFromBytes");
    copy(*input_, static_cast<void*>(images.data()), images.size() * sizeof(float));
  }

  // Runs the network and returns its outputs, image by image.
  std::vector<float> run() {
    const ffi::Tensor output = (*main_)(*input_).cast<ffi::Tensor>();
    const float* numbers = static_cast<const float*>(output.data_ptr());
    return std::vector<float>(numbers, numbers + output.numel());
  }

 private:
  ffi::Module library_;
  ffi::Optional<ffi::Module> machine_;
  ffi::Optional<ffi::Function> main_;
  ffi::Optional<ffi::Tensor> input_;
};

// Runs the network on the images that it has, and returns the median in ms.
double median_ms(Network& network) {
  std::vector<double> taken;
  for (int run = 0; run < RUNS; ++run) {
    const auto start = std::chrono::steady_clock::now();
    network.run();
    taken.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(taken.begin(), taken.end());
  return taken[RUNS / 2];
}

// Loads the part of TVM's runtime that a GPU needs, which a program for a processor does without.
void load_backend() {
  if (bundle::BACKEND[0] != 0 && dlopen(bundle::BACKEND, RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    throw std::runtime_error(std::string("the network's GPU needs ") + bundle::BACKEND + ": " + dlerror());
  }
}

// Runs the samples in a folder and prints what comes of it; returns whether the outputs agree.
bool run_samples(const std::filesystem::path& folder) {
  const auto begin = std::chrono::steady_clock::now();
  load_backend();
  Network network(folder / "network.so");
  const std::vector<std::uint8_t> pixels = read_npy<std::uint8_t>(folder / "pixels.npy", "|u1");
  const std::vector<float> expected = read_npy<float>(folder / "expected.npy", "<f4");
  const std::size_t taken = bundle::SHAPE[0] * bundle::SHAPE[1] * bundle::SHAPE[2] * bundle::SHAPE[3];
  std::vector<float> outputs;
  for (std::size_t first = 0; first < pixels.size(); first += taken) {
    network.set(normalised(pixels.data() + first));
    const std::vector<float> own = network.run();
    if (first == 0) {
      const std::chrono::duration<double, std::milli> start_up = std::chrono::steady_clock::now() - begin;
      std::printf("first outputs after %.0f ms\n", start_up.count());
    }
    outputs.insert(outputs.end(), own.begin(), own.end());
  }
  float range = 0, difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    range = std::max(range, std::abs(expected[i]));
    const float own = i < outputs.size() ? std::abs(outputs[i] - expected[i]) : INFINITY;
    difference = own <= difference ? difference : own;  // what is no number counts, too
  }
  if (const std::size_t classes = bundle::CLASSES.size()) {
    std::printf("classes of the samples:");
    for (std::size_t first = 0; first + classes <= outputs.size(); first += classes) {
      const auto best = std::max_element(outputs.begin() + first, outputs.begin() + first + classes);
      std::printf(" %s", bundle::CLASSES[best - outputs.begin() - first]);
    }
    std::printf("\n");
  }
  const bool agree = difference <= bundle::TOLERANCE * range;
  std::printf("outputs %s: off by at most %.2g of their range, allowed: %g\n", agree ? "agree" : "DISAGREE",
              difference / range, bundle::TOLERANCE);
  std::printf("%.4f ms a run: batch %ld, threads %d, the median of %d runs\n", median_ms(network),
              static_cast<long>(bundle::SHAPE[0]), bundle::THREADS, RUNS);
  return agree;
}

int main(int count, char** arguments) {
  setenv("TVM_NUM_THREADS", std::to_string(bundle::THREADS).c_str(), 1);  // before TVM starts its threads
  try {  // the folder of the bundle is the program's own unless given
    const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    return run_samples(count > 1 ? std::filesystem::absolute(arguments[1]) : folder) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
