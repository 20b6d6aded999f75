/* Calls one tensor program without TVM's runtime: harness IN OUT reads the arguments from IN, writes the last to OUT.

   Build with -DPROGRAM=<symbol>, TVM's headers and the object that holds the program. IN holds the number of tensors
   and, for each, dimensions, type code, bits, the shape (all int64) and the data. Parallel loops run as one task.
*/
#include <stdio.h>
#include <stdlib.h>
#include <tvm/ffi/c_api.h>

typedef struct {
  void *sync_handle;
  int32_t num_task;
} Group;
typedef int (*Task)(int, Group *, void *);

static int launch(Task task, void *closure, int tasks) {
  Group alone = {NULL, 1};
  return task(0, &alone, closure);
}

static void *allocate(int device, int id, uint64_t bytes, int code, int bits) {
  return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static int release(int device, int id, void *memory) {
  free(memory);
  return 0;
}

void *__TVMBackendParallelLaunch = launch;
void *__TVMBackendAllocWorkspace = allocate;
void *__TVMBackendFreeWorkspace = release;

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  for (int32_t i = 0; i < count; ++i) fputs(parts[i], stderr);
  exit(2);
}

int PROGRAM(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result);

static int64_t number(FILE *file) {
  int64_t value;
  if (fread(&value, sizeof value, 1, file) != 1) exit(3);
  return value;
}

int main(int argc, char **argv) {
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  int64_t count = number(in), bytes = 0;
  DLTensor *tensors = calloc(count, sizeof *tensors);
  TVMFFIAny *arguments = calloc(count, sizeof *arguments), result = {0};
  for (int64_t i = 0; i < count; ++i) {
    DLTensor *tensor = &tensors[i];
    tensor->device.device_type = kDLCPU;
    tensor->ndim = number(in);
    tensor->dtype.code = number(in);
    tensor->dtype.bits = number(in);
    tensor->dtype.lanes = 1;
    tensor->shape = calloc(tensor->ndim + 1, sizeof(int64_t));
    tensor->strides = calloc(tensor->ndim + 1, sizeof(int64_t));
    bytes = tensor->dtype.bits / 8;
    for (int axis = 0; axis < tensor->ndim; ++axis) bytes *= tensor->shape[axis] = number(in);
    for (int64_t axis = tensor->ndim - 1, stride = 1; axis >= 0; stride *= tensor->shape[axis--])
      tensor->strides[axis] = stride;
    tensor->data = allocate(0, 0, bytes + 64, 0, 0);
    if (fread(tensor->data, 1, bytes, in) != bytes) return 3;
    arguments[i].type_index = kTVMFFIDLTensorPtr;
    arguments[i].v_ptr = tensor;
  }
  if (PROGRAM(NULL, arguments, count, &result)) return 1;
  return fwrite(tensors[count - 1].data, 1, bytes, out) == bytes ? 0 : 4;
}
