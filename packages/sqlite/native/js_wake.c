/* The binding of sleeping and waking: a thread that waits for a word, and an event loop that another thread wakes. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "js.h"

#include <stdlib.h>

#if defined(__linux__)
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

/* Where time_t has 32 bits the C library and the kernel need not agree about a timespec: Atomics.wait is used there. */
#if defined(SYS_futex) && defined(__LP64__)
#define HAS_FUTEX

/* Of the kernel's linux/futex.h, which a C library alone (musl's, without linux-headers) does not bring. */
enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };

/* One word of an Int32Array; NULL with an exception pending. */
static int32_t *word_of(napi_env env, napi_value words, napi_value index) {
  size_t bytes = 0;
  int32_t at = js_to_int32(env, index);
  uint8_t *start = js_to_bytes(env, words, at < 0 ? -1 : (int64_t)at * 4, &bytes);
  return start == NULL || bytes < 4 ? NULL : (int32_t *)(void *)start;
}

/* futexWait(words, index, value, milliseconds): sleeps while the word has this value; false: the time is over. Unlike
   Atomics.wait it takes no lock that the waking thread still holds, but nothing else ends it: so never for long. */
static napi_value js_futex_wait(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int32_t *word = word_of(env, args[0], args[1]);
  if (word == NULL) return NULL;
  int32_t millis = js_to_int32(env, args[3]);
  struct timespec timeout = {.tv_sec = millis / 1000, .tv_nsec = millis % 1000 * 1000000L};
  long result = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, js_to_int32(env, args[2]), &timeout, NULL, 0);
  return js_boolean(env, result == 0 || errno != ETIMEDOUT);
}

/* futexWake(words, index): wakes the thread that sleeps there */
static napi_value js_futex_wake(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int32_t *word = word_of(env, args[0], args[1]);
  if (word != NULL) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  return NULL;
}
#endif

/* ---- async handles ---- */

/* Of libuv, whose header is not among those that we are built with: all of them are in its stable interface. */
typedef struct uv_handle uv_handle;
typedef struct uv_async uv_async;
enum { UV_ASYNC_HANDLE = 1 };
extern size_t uv_handle_size(int type);
extern int uv_async_init(void *loop, uv_async *async, void (*run)(uv_async *));
extern int uv_async_send(uv_async *async);
extern void uv_unref(uv_handle *handle);
extern void uv_close(uv_handle *handle, void (*closed)(uv_handle *));
extern void *uv_handle_get_data(const uv_handle *handle);
extern void uv_handle_set_data(uv_handle *handle, void *data);

/* What other threads send to, and whom that calls. Unlike a thread-safe function it has no lock that both sides meet at. */
typedef struct Async {
  uv_async *async;
  napi_env env;
  napi_ref run;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  bool closed;
} Async;

static void on_send(uv_async *async) {
  Async *handle = uv_handle_get_data((uv_handle *)async);
  napi_env env = handle->env;
  if (handle->closed) return;
  napi_handle_scope scope = NULL;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value run = NULL;
  napi_value receiver = NULL;
  napi_value error = NULL;
  napi_get_reference_value(env, handle->run, &run);
  napi_get_global(env, &receiver);
  if (napi_make_callback(env, handle->context, receiver, run, 0, NULL, NULL) == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

static void on_closed(uv_handle *uv) {
  Async *handle = uv_handle_get_data(uv);
  napi_remove_async_cleanup_hook(handle->hook);
  free(handle->async);
  free(handle);
}

static void close_async(Async *handle) {
  if (handle->closed) return;
  handle->closed = true;
  napi_delete_reference(handle->env, handle->run);
  napi_async_destroy(handle->env, handle->context);
  uv_close((uv_handle *)handle->async, on_closed);
}

static void on_teardown(napi_async_cleanup_hook_handle hook, void *handle) {
  (void)hook;
  close_async(handle);
}

/* openAsync(run): the number of a handle; whenever another thread sends to it, this thread's event loop calls `run`, once
   for several in a row. It keeps no process alive. Undefined: there is none to be had. */
static napi_value js_open_async(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  napi_value result = NULL;
  napi_value name = js_string(env, "SluiceAsync", NAPI_AUTO_LENGTH);
  struct uv_loop_s *loop = NULL;
  Async *handle = calloc(1, sizeof(Async));
  uv_async *async = calloc(1, uv_handle_size(UV_ASYNC_HANDLE));
  if (handle == NULL || async == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok ||
      uv_async_init(loop, async, on_send) != 0) {
    free(handle);
    free(async);
    return NULL;
  }
  uv_handle_set_data((uv_handle *)async, handle);
  uv_unref((uv_handle *)async);
  handle->async = async;
  handle->env = env;
  napi_create_reference(env, args[0], 1, &handle->run);
  napi_async_init(env, NULL, name, &handle->context);
  napi_add_async_cleanup_hook(env, on_teardown, handle, &handle->hook);
  napi_create_bigint_uint64(env, (uint64_t)(uintptr_t)handle, &result);
  return result;
}

static Async *handle_of(napi_env env, napi_value number) {
  uint64_t address = 0;
  bool whole = false;
  napi_get_value_bigint_uint64(env, number, &address, &whole);
  return (Async *)(uintptr_t)address;
}

/* senderOf(handle): by which this thread sends to it, no longer than it is open */
static napi_value js_sender_of(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  napi_value result = NULL;
  Async *handle = handle_of(env, args[0]);
  if (handle != NULL) napi_create_external(env, handle->async, NULL, NULL, &result);
  return result;
}

/* send(sender) */
static napi_value js_send(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  void *async = NULL;
  if (napi_get_value_external(env, args[0], &async) == napi_ok) uv_async_send(async);
  return NULL;
}

/* closeAsync(handle): once, by the thread that has it, when nobody rings it any more */
static napi_value js_close_async(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Async *handle = handle_of(env, args[0]);
  if (handle != NULL) close_async(handle);
  return NULL;
}

void js_define_wake(napi_env env, napi_value exports) {
#if defined(HAS_FUTEX)
  js_define(env, exports, "futexWait", js_futex_wait);
  js_define(env, exports, "futexWake", js_futex_wake);
#endif
  js_define(env, exports, "openAsync", js_open_async);
  js_define(env, exports, "senderOf", js_sender_of);
  js_define(env, exports, "send", js_send);
  js_define(env, exports, "closeAsync", js_close_async);
}
