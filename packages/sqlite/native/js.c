/* JavaScript values: handles, numbers, texts, bytes and errors. */
#include "js.h"

#include <stdlib.h>

/* ---- handles ---- */

napi_value js_handle(napi_env env, HandleKind kind, void *target, napi_finalize finalize) {
  Handle *handle = calloc(1, sizeof *handle);
  napi_value value = NULL;
  if (handle == NULL) return js_throw(env, SQLITE_NOMEM, "out of memory");
  handle->kind = kind;
  handle->connection = target;
  if (napi_create_external(env, handle, finalize, NULL, &value) == napi_ok) return value;
  free(handle);
  return js_throw(env, SQLITE_NOMEM, "out of memory");
}

Handle *js_any_handle(napi_env env, napi_value value, HandleKind kind) {
  void *pointer = NULL;
  if (napi_get_value_external(env, value, &pointer) != napi_ok || pointer == NULL) return NULL;
  Handle *handle = pointer;
  return handle->kind == kind ? handle : NULL;
}

const Api *js_library(napi_env env, napi_value value) {
  Handle *handle = js_any_handle(env, value, HANDLE_LIBRARY);
  if (handle != NULL) return handle->library;
  js_throw(env, SQLITE_MISUSE, "not a library");
  return NULL;
}

Connection *js_connection(napi_env env, napi_value value) {
  Handle *handle = js_any_handle(env, value, HANDLE_CONNECTION);
  if (handle != NULL && handle->connection->db != NULL) return handle->connection;
  js_throw(env, SQLITE_MISUSE, "the connection is closed");
  return NULL;
}

Statement *js_statement(napi_env env, napi_value value) {
  Handle *handle = js_any_handle(env, value, HANDLE_STATEMENT);
  if (handle != NULL && handle->statement->stmt != NULL) return handle->statement;
  js_throw(env, SQLITE_MISUSE, "the statement is finalized");
  return NULL;
}

Backup *js_backup(napi_env env, napi_value value) {
  Handle *handle = js_any_handle(env, value, HANDLE_BACKUP);
  if (handle != NULL && handle->backup->backup != NULL) return handle->backup;
  js_throw(env, SQLITE_MISUSE, "the backup is finished");
  return NULL;
}

/* ---- values out ---- */

napi_value js_number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

napi_value js_int64(napi_env env, int64_t value) {
  const int64_t safe = 9007199254740991;
  napi_value result = NULL;
  if (value >= -safe && value <= safe) {
    napi_create_int64(env, value, &result);
  } else {
    napi_create_bigint_int64(env, value, &result);
  }
  return result;
}

napi_value js_integer(napi_env env, int32_t value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}

napi_value js_boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value js_string(napi_env env, const char *text, size_t length) {
  napi_value result = NULL;
  if (text != NULL) {
    napi_create_string_utf8(env, text, length, &result);
  } else {
    napi_get_undefined(env, &result);
  }
  return result;
}

/* ---- values in ---- */

int64_t js_to_int64(napi_env env, napi_value value) {
  int64_t result = 0;
  napi_get_value_int64(env, value, &result);
  return result;
}

int32_t js_to_int32(napi_env env, napi_value value) {
  int32_t result = 0;
  napi_get_value_int32(env, value, &result);
  return result;
}

bool js_to_boolean(napi_env env, napi_value value) {
  bool result = false;
  napi_get_value_bool(env, value, &result);
  return result;
}

char *js_to_text(napi_env env, napi_value value, size_t *length) {
  if (napi_get_value_string_utf8(env, value, NULL, 0, length) != napi_ok) {
    js_throw(env, SQLITE_MISUSE, "not a text");
    return NULL;
  }
  char *text = malloc(*length + 1);
  if (text == NULL) {
    js_throw(env, SQLITE_NOMEM, "out of memory");
    return NULL;
  }
  napi_get_value_string_utf8(env, value, text, *length + 1, length);
  return text;
}

/* Bytes per element, by napi_typedarray_type. */
static const uint8_t elementBytes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};

uint8_t *js_to_bytes(napi_env env, napi_value value, int64_t offset, size_t *length) {
  /* An empty array may have no memory; an address tells it from a failure. */
  static uint8_t nothing;
  napi_typedarray_type type;
  size_t elements = 0;
  void *data = NULL;
  if (napi_get_typedarray_info(env, value, &type, &elements, &data, NULL, NULL) != napi_ok ||
      (size_t)type >= sizeof elementBytes) {
    js_throw(env, SQLITE_MISUSE, "not a typed array");
    return NULL;
  }
  size_t bytes = elements * elementBytes[type];
  if (offset < 0 || (uint64_t)offset > bytes) {
    js_throw(env, SQLITE_MISUSE, "out of the array's bounds");
    return NULL;
  }
  *length = bytes - (size_t)offset;
  return data == NULL ? &nothing : (uint8_t *)data + offset;
}

/* ---- errors ---- */

napi_value js_throw(napi_env env, int code, const char *message) {
  napi_value text = NULL;
  napi_value error = NULL;
  if (napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text) != napi_ok) return NULL;
  if (napi_create_error(env, NULL, text, &error) != napi_ok) return NULL;
  napi_set_named_property(env, error, "code", js_integer(env, code));
  napi_throw(env, error);
  return NULL;
}

napi_value js_throw_last(napi_env env, const Connection *connection, int code) {
  return js_throw(env, code, connection_message(connection, code));
}

void js_define(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function = NULL;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function);
  napi_set_named_property(env, exports, name, function);
}
