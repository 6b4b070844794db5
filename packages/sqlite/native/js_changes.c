/* The binding of changes. */
#include "js.h"

#include <string.h>

/* setChanges(connection, on) */
static napi_value js_set_changes(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  if (!changes_listen(connection, js_to_boolean(env, args[1]))) js_throw(env, SQLITE_NOMEM, "out of memory");
  return NULL;
}

static napi_value names_of(napi_env env, const Changes *changes) {
  napi_value names = NULL;
  napi_create_array(env, &names);
  const char *name = changes_name(changes, 0);
  for (int i = 0; name != NULL; name = changes_name(changes, ++i)) {
    napi_set_element(env, names, (uint32_t)i, js_string(env, name, NAPI_AUTO_LENGTH));
  }
  return names;
}

/* takeChanges(connection): undefined, or [names, entries, unknown] of what was committed since the last call */
static napi_value js_take_changes(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL || !changes_pending(connection)) return NULL;
  size_t bytes = 0;
  bool unknown = false;
  const void *entries = changes_committed(connection->changes, &bytes, &unknown);
  void *data = NULL;
  napi_value buffer = NULL;
  if (napi_create_arraybuffer(env, bytes, &data, &buffer) != napi_ok) {
    return js_throw(env, SQLITE_NOMEM, "out of memory");
  }
  if (bytes > 0) memcpy(data, entries, bytes);
  napi_value result = NULL;
  napi_create_array_with_length(env, 3, &result);
  napi_set_element(env, result, 0, names_of(env, connection->changes));
  napi_set_element(env, result, 1, buffer);
  napi_set_element(env, result, 2, js_boolean(env, unknown));
  changes_taken(connection->changes);
  return result;
}

void js_define_changes(napi_env env, napi_value exports) {
  js_define(env, exports, "setChanges", js_set_changes);
  js_define(env, exports, "takeChanges", js_take_changes);
}
