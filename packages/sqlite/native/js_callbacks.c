/* The binding of callbacks: functions, collations and hooks of a connection. */
#include "js.h"

#include <stdlib.h>

/* The callback of an argument, NULL for undefined. False with an exception pending: no memory. */
static bool take(napi_env env, Connection *connection, napi_value value, Callback **callback) {
  napi_valuetype type = napi_undefined;
  *callback = NULL;
  napi_typeof(env, value, &type);
  if (type != napi_function) return true;
  *callback = callback_make(connection, value);
  if (*callback != NULL) return true;
  js_throw(env, SQLITE_NOMEM, "out of memory");
  return false;
}

/* setFunction(connection, name, arity, flags, kind, function): undefined takes it away */
static napi_value js_set_function(napi_env env, napi_callback_info info) {
  ARGUMENTS(6);
  Connection *connection = js_connection(env, args[0]);
  Callback *callback = NULL;
  if (connection == NULL || !take(env, connection, args[5], &callback)) return NULL;
  size_t length = 0;
  char *name = js_to_text(env, args[1], &length);
  if (name == NULL) {
    callback_free(callback);
    return NULL;
  }
  int code = callback_function(connection, name, js_to_int32(env, args[2]), js_to_int32(env, args[3]),
                               (FunctionKind)js_to_int32(env, args[4]), callback);
  free(name);
  return code == SQLITE_OK ? NULL : js_throw_last(env, connection, code);
}

/* setCollation(connection, name, function): undefined takes it away */
static napi_value js_set_collation(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  Connection *connection = js_connection(env, args[0]);
  Callback *callback = NULL;
  if (connection == NULL || !take(env, connection, args[2], &callback)) return NULL;
  size_t length = 0;
  char *name = js_to_text(env, args[1], &length);
  if (name == NULL) {
    callback_free(callback);
    return NULL;
  }
  int code = callback_collation(connection, name, callback);
  free(name);
  return code == SQLITE_OK ? NULL : js_throw_last(env, connection, code);
}

/* setHook(connection, hook, function): undefined takes it away */
static napi_value js_set_hook(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  Connection *connection = js_connection(env, args[0]);
  Callback *callback = NULL;
  if (connection == NULL) return NULL;
  int32_t hook = js_to_int32(env, args[1]);
  if (hook < 0 || hook >= HOOK_COUNT) return js_throw(env, SQLITE_MISUSE, "no such hook");
  if (take(env, connection, args[2], &callback)) callback_hook(connection, (Hook)hook, callback);
  return NULL;
}

/* setTable(connection, name, schema, columns, parameters, function): undefined takes it away */
static napi_value js_set_table(napi_env env, napi_callback_info info) {
  ARGUMENTS(6);
  Connection *connection = js_connection(env, args[0]);
  Callback *callback = NULL;
  if (connection == NULL) return NULL;
  int parameters = js_to_int32(env, args[4]);
  if (parameters < 0 || parameters > 31) return js_throw(env, SQLITE_MISUSE, "too many parameters");
  if (!take(env, connection, args[5], &callback)) return NULL;
  size_t length = 0;
  char *name = js_to_text(env, args[1], &length);
  char *schema = name == NULL ? NULL : js_to_text(env, args[2], &length);
  if (schema == NULL) {
    free(name);
    callback_free(callback);
    return NULL;
  }
  int code = vtab_register(connection, name, schema, js_to_int32(env, args[3]), parameters, callback);
  free(name);
  free(schema);
  if (code == SQLITE_BUSY) return js_throw(env, code, "unable to delete/modify table function due to active statements");
  return code == SQLITE_OK ? NULL : js_throw_last(env, connection, code);
}

void js_define_callbacks(napi_env env, napi_value exports) {
  js_define(env, exports, "setFunction", js_set_function);
  js_define(env, exports, "setCollation", js_set_collation);
  js_define(env, exports, "setHook", js_set_hook);
  js_define(env, exports, "setTable", js_set_table);
}
