/* A CUPTI without a GPU, and the few functions of the driver that counting needs: records are made by hand, in the
   layouts of CUDA 13.0, into memory that is asked for and given back from another thread and under a lock. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef void (*ask_fn)(uint8_t **, size_t *, size_t *);
typedef void (*give_fn)(void *, uint32_t, uint8_t *, size_t, size_t);

struct __attribute__((aligned(8))) kernel { /* CUpti_ActivityKernel10 */
  uint32_t kind;
  uint8_t cache, shared_config;
  uint16_t registers;
  uint32_t requested, executed;
  uint64_t start, end, completed;
  uint32_t device, context, stream;
  int32_t grid[3], block[3], shared_static, shared_dynamic;
  uint32_t local_per_thread, local_total, correlation;
  int64_t grid_id;
  const char *name;
  void *reserved;
  uint64_t queued, submitted;
  uint8_t launch_type, carveout_requested, carveout, padding;
  uint32_t shared_executed;
  uint64_t graph_node;
  uint32_t limit, graph;
  void *window;
  uint32_t channel, channel_type, cluster[3], policy;
  uint64_t local_total_2;
  uint32_t cluster_size, clusters;
  uint8_t from_device, padding_3[7];
};
struct __attribute__((aligned(8))) copy { /* CUpti_ActivityMemcpy6 */
  uint32_t kind;
  uint8_t copy_kind, from, to, flags;
  uint64_t bytes, start, end;
  uint32_t device, context, stream, correlation, runtime_correlation, pad;
  void *reserved;
  uint64_t graph_node;
  uint32_t graph, channel, channel_type;
  uint8_t from_device, pad_2[3];
  uint64_t copies;
};
struct __attribute__((aligned(8))) peer { /* CUpti_ActivityMemcpyPtoP4 */
  uint32_t kind;
  uint8_t copy_kind, from, to, flags;
  uint64_t bytes, start, end;
  uint32_t ids[8];
  void *reserved;
  uint64_t graph_node;
  uint32_t rest[4];
};
struct __attribute__((aligned(8))) set { /* CUpti_ActivityMemset4 */
  uint32_t kind, value;
  uint64_t bytes, start, end;
  uint32_t device, context, stream, correlation;
  uint16_t flags, memory;
  uint32_t pad;
  void *reserved;
  uint64_t graph_node;
  uint32_t rest[4];
};
struct __attribute__((aligned(8))) api { /* CUpti_ActivityAPI */
  uint32_t kind, cbid;
  uint64_t start, end;
  uint32_t process, thread, correlation, answer;
};
struct __attribute__((aligned(8))) overhead { /* of no interest */
  uint32_t kind;
  uint8_t rest[60];
};
_Static_assert(sizeof(struct kernel) == 216 && offsetof(struct kernel, name) == 104, "kernel");
_Static_assert(sizeof(struct copy) == 96 && sizeof(struct peer) == 96 && sizeof(struct set) == 88, "copies");
_Static_assert(sizeof(struct api) == 40, "api");

enum { SUCCESS, BAD_ARGUMENT = 1, NO_MORE = 12, BAD_KIND = 21, KINDS = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ask_fn ask;
static give_fn give;
static int enabled[KINDS];
static uint8_t *buffer;
static size_t size, used, dropped;
static char failing[64];
static int failure;
int fake_waits, fake_active = 1, fake_current = 1, fake_asked;

static int fails(const char *name) { return strcmp(name, failing) ? 0 : failure; }

static void *ask_it(void *none) {
  size_t records = 99;
  buffer = NULL;
  size = used = 0;
  fake_asked++;
  ask(&buffer, &size, &records);
  if (records || ((uintptr_t)buffer & 7)) buffer = NULL;
  if (buffer) memset(buffer, 0, size);
  return none;
}

static void *give_it(void *none) {
  if (buffer) give(NULL, 0, buffer, size, used);
  buffer = NULL;
  return none;
}

static void elsewhere(void *(*what)(void *)) {
  pthread_t thread;
  pthread_create(&thread, NULL, what, NULL);
  pthread_join(thread, NULL);
}

static void record(const void *what, size_t bytes, uint32_t kind) {
  if (kind < KINDS && !enabled[kind]) return;
  pthread_mutex_lock(&lock);
  if (buffer && used + bytes > size) elsewhere(give_it);
  if (!buffer) elsewhere(ask_it);
  if (buffer) {
    memcpy(buffer + used, what, bytes);
    used += bytes;
  } else
    dropped++;
  pthread_mutex_unlock(&lock);
}

/* What a test has the GPU do. */

void fake_reset(void) {
  memset(enabled, 0, sizeof enabled);
  buffer = NULL, ask = NULL, give = NULL, used = size = dropped = 0, failing[0] = 0;
  fake_waits = fake_asked = 0, fake_active = fake_current = 1;
}
void fake_fail(const char *name, int code) { strncpy(failing, name, sizeof failing - 1), failure = code; }
int fake_enabled(void) {
  int sum = 0;
  for (int kind = 0; kind < KINDS; kind++) sum += enabled[kind];
  return sum;
}
void fake_kernel(const char *name, uint64_t start, uint64_t end, uint64_t node) {
  struct kernel it = {.kind = 10, .start = start, .end = end, .name = name, .graph_node = node};
  record(&it, sizeof it, 10);
}
void fake_copy(int kind, uint64_t bytes, uint64_t start, uint64_t end) {
  struct copy it = {.kind = 1, .copy_kind = (uint8_t)kind, .bytes = bytes, .start = start, .end = end, .copies = 1};
  record(&it, sizeof it, 1);
}
void fake_peer(uint64_t bytes) {
  struct peer it = {.kind = 22, .copy_kind = 8, .bytes = bytes};
  record(&it, sizeof it, 22);
}
void fake_set(uint64_t start, uint64_t end) {
  struct set it = {.kind = 2, .bytes = 4, .start = start, .end = end};
  record(&it, sizeof it, 2);
}
void fake_call(int kind, uint32_t cbid, uint64_t start, uint64_t end, uint32_t thread, uint32_t correlation) {
  struct api it = {(uint32_t)kind, cbid, start, end, 1, thread, correlation, 0};
  record(&it, sizeof it, (uint32_t)kind);
}
void fake_overhead(void) {
  struct overhead it = {.kind = 17};
  enabled[17] = 1;
  record(&it, sizeof it, 17);
  enabled[17] = 0;
}
void fake_broken(void) {
  struct overhead it = {.kind = 60};
  enabled[60] = 1;
  record(&it, sizeof it, 60);
  enabled[60] = 0;
}
/* CUPTI asks from its thread while the caller waits for CUPTI: 0 when it got memory within two seconds. */
int fake_ask_while_caller_waits(void) {
  pthread_t thread;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 2;
  pthread_create(&thread, NULL, ask_it, NULL);
  if (pthread_timedjoin_np(thread, NULL, &until) == 0) return buffer == NULL;
  pthread_detach(thread);
  return -1;
}

/* CUPTI */

int cuptiGetVersion(uint32_t *version) { return *version = 130001, fails("cuptiGetVersion"); }
int cuptiGetResultString(int code, const char **text) {
  if (code == 35) return *text = "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES", SUCCESS;
  if (code == 39) return *text = "CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED", SUCCESS;
  return BAD_ARGUMENT;
}
int cuptiGetCallbackName(int domain, uint32_t cbid, const char **name) {
  static const struct { int domain; uint32_t cbid; const char *name; } known[] = {
      {1, 17, "cuCtxSynchronize"}, {1, 85, "cuFuncGetAttribute"}, {1, 126, "cuStreamSynchronize"},
      {1, 243, "cuMemAlloc_v2"}, {1, 277, "cuMemcpyHtoDAsync_v2"}, {1, 307, "cuLaunchKernel"},
      {1, 514, "cuGraphLaunch"}, {1, 527, "cuLaunchHostFunc"}, {1, 652, "cuLaunchKernelEx"},
      {2, 10, "cudaGetLastError_v3020"}, {2, 20, "cudaMalloc_v3020"}, {2, 41, "cudaMemcpyAsync_v3020"},
      {2, 131, "cudaStreamSynchronize_v3020"}, {2, 138, "cudaEventQuery_v3020"},
      {2, 165, "cudaDeviceSynchronize_v3020"}, {2, 211, "cudaLaunchKernel_v7000"},
      {2, 311, "cudaGraphLaunch_v10000"}, {2, 431, "cudaLaunchKernelExC_ptsz_v11060"},
      {2, 505, "__cudaLaunchKernel_v13000"}};
  for (size_t place = 0; place < sizeof known / sizeof *known; place++)
    if (known[place].domain == domain && known[place].cbid == cbid) return *name = known[place].name, SUCCESS;
  return BAD_ARGUMENT;
}
int cuptiActivityRegisterCallbacks(ask_fn asked, give_fn given) {
  ask = asked, give = given;
  return fails("cuptiActivityRegisterCallbacks");
}
int cuptiActivityEnable(int kind) {
  int code = kind == 4 ? fails("cuptiActivityEnable") : 0; /* some are enabled by then */
  if (!code) enabled[kind] = 1;
  return code;
}
int cuptiActivityDisable(int kind) { return enabled[kind] = 0, SUCCESS; }
int cuptiActivityFlushAll(uint32_t flag) {
  if (fails("cuptiActivityFlushAll")) return failure;
  pthread_mutex_lock(&lock);
  if (flag && buffer) elsewhere(give_it);
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
int cuptiActivityGetNumDroppedRecords(void *context, uint32_t stream, size_t *number) {
  *number = dropped, dropped = 0;
  return context || stream ? BAD_ARGUMENT : SUCCESS;
}
int cuptiActivityGetNextRecord(uint8_t *from, size_t valid, uint8_t **at) {
  static const size_t sizes[KINDS] = {
      [1] = sizeof(struct copy), [2] = sizeof(struct set), [4] = sizeof(struct api), [5] = sizeof(struct api),
      [10] = sizeof(struct kernel), [17] = sizeof(struct overhead), [22] = sizeof(struct peer)};
  uint8_t *next = *at ? *at + sizes[*(uint32_t *)*at] : from;
  if (next >= from + valid) return NO_MORE;
  if (!sizes[*(uint32_t *)next]) return BAD_KIND;
  *at = next;
  return SUCCESS;
}

/* The driver */

int cuGetErrorName(int code, const char **name) { return *name = "CUDA_ERROR_FAKE", code ? 0 : 1; }
int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuDeviceGet(int *device, int number) { return *device = number, 0; }
int cuCtxGetCurrent(void **context) { return *context = fake_current ? (void *)7 : NULL, 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
  return *flags = 0, *active = fake_active, device;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { return *context = (void *)7, device; }
int cuDevicePrimaryCtxRelease_v2(int device) { return device; }
int cuCtxPushCurrent_v2(void *context) { return context != (void *)7 ? 201 : (fake_current = 1, 0); }
int cuCtxPopCurrent_v2(void **context) { return *context = (void *)7, fake_current = 0, 0; }
int cuCtxSynchronize(void) {
  if (!fake_current) return 201;
  if (fails("cuCtxSynchronize")) return failure;
  fake_call(4, 17, 1, 2, 1, 0);
  fake_waits++;
  return 0;
}
