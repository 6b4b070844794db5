/* The module: one shared object that the runtime loads as an addon and a carrier's SQLite loads as an extension. */
#include "js.h"

#include <stdlib.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* The first library in which every entry that we use is in the table. */
enum { OLDEST_LIBRARY = 3039000 };

/* The table of the library that has just loaded us on this thread, until it is asked for: tables never mix, however
   many libraries and threads there are. */
static THREAD_LOCAL const Api *loading;

/* The entry point that SQLite looks for whatever the file's name is. */
EXPORT int sqlite3_extension_init(sqlite3 *db, char **message, const Api *api) {
  (void)db;
  (void)message;
  loading = api;
  return SQLITE_OK;
}

static bool is_usable(const Api *api) {
  if (api == NULL || api->libversion_number() < OLDEST_LIBRARY) return false;
  return api->progress_handler != NULL && api->busy_handler != NULL && api->set_authorizer != NULL;
}

static void finalize_library(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

/* library(): the library that has just loaded the extension on this thread; undefined: none, or too old */
static napi_value js_take_library(napi_env env, napi_callback_info info) {
  (void)info;
  const Api *api = loading;
  loading = NULL;
  if (!is_usable(api)) return NULL;
  return js_handle(env, HANDLE_LIBRARY, (void *)api, finalize_library);
}

/* address(library): where it is, for the other threads of the process */
static napi_value js_address(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  const Api *api = js_library(env, args[0]);
  napi_value value;
  if (api == NULL || napi_create_bigint_uint64(env, (uint64_t)(uintptr_t)api, &value) != napi_ok) return NULL;
  return value;
}

/* libraryAt(address): what another thread has loaded, and keeps loaded */
static napi_value js_library_at(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  uint64_t address = 0;
  bool whole = false;
  if (napi_get_value_bigint_uint64(env, args[0], &address, &whole) != napi_ok || !whole) {
    return js_throw(env, SQLITE_MISUSE, "not an address");
  }
  const Api *api = (const Api *)(uintptr_t)address;
  return is_usable(api) ? js_handle(env, HANDLE_LIBRARY, (void *)api, finalize_library) : NULL;
}

/* version(library) */
static napi_value js_version(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  const Api *api = js_library(env, args[0]);
  return api == NULL ? NULL : js_string(env, api->libversion(), NAPI_AUTO_LENGTH);
}

/* revision(): see REVISION */
static napi_value js_revision(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value value;
  return napi_create_int32(env, REVISION, &value) == napi_ok ? value : NULL;
}

NAPI_MODULE_INIT() {
  js_define(env, exports, "revision", js_revision);
  js_define(env, exports, "library", js_take_library);
  js_define(env, exports, "address", js_address);
  js_define(env, exports, "libraryAt", js_library_at);
  js_define(env, exports, "version", js_version);
  js_define_connection(env, exports);
  js_define_statement(env, exports);
  js_define_backup(env, exports);
  js_define_blob(env, exports);
  js_define_callbacks(env, exports);
  js_define_changes(env, exports);
  js_define_wake(env, exports);
  return exports;
}
