/* SQL's values as JavaScript's, and back: arguments and results of callbacks. */
#include "js.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static napi_value bytes_of(napi_env env, const Api *api, sqlite3_value *value) {
  const void *from = api->value_blob(value);
  size_t length = (size_t)api->value_bytes(value);
  void *to = NULL;
  napi_value buffer = NULL;
  napi_value result = NULL;
  if (napi_create_arraybuffer(env, length, &to, &buffer) != napi_ok) return NULL;
  if (length > 0) memcpy(to, from, length);
  napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &result);
  return result;
}

napi_value js_from_sql(napi_env env, const Api *api, sqlite3_value *value) {
  napi_value result = NULL;
  switch (api->value_type(value)) {
    case SQLITE_INTEGER:
      return js_int64(env, api->value_int64(value));
    case SQLITE_FLOAT:
      return js_number(env, api->value_double(value));
    case SQLITE_TEXT: {
      const char *text = (const char *)api->value_text(value);
      return js_string(env, text != NULL ? text : "", text != NULL ? (size_t)api->value_bytes(value) : 0);
    }
    case SQLITE_BLOB:
      return bytes_of(env, api, value);
    default:
      napi_get_null(env, &result);
      return result;
  }
}

static bool number_to_sql(napi_env env, const Api *api, sqlite3_context *context, napi_value value) {
  double number = 0;
  napi_get_value_double(env, value, &number);
  /* As parameters do: a whole number is an integer, but −0 is not. */
  if (fabs(number) <= 9007199254740991.0 && number == floor(number) && !(number == 0 && signbit(number))) {
    api->result_int64(context, (sqlite3_int64)number);
  } else {
    api->result_double(context, number);
  }
  return true;
}

static bool text_to_sql(napi_env env, const Api *api, sqlite3_context *context, napi_value value) {
  size_t length = 0;
  char *text = js_to_text(env, value, &length);
  if (text == NULL) {
    napi_value ignored = NULL;
    napi_get_and_clear_last_exception(env, &ignored);
    api->result_error_nomem(context);
  } else {
    api->result_text64(context, text, length, free, SQLITE_UTF8);
  }
  return true;
}

static bool object_to_sql(napi_env env, const Api *api, sqlite3_context *context, napi_value value) {
  bool is = false;
  napi_is_typedarray(env, value, &is);
  if (!is) return false;
  size_t length = 0;
  const uint8_t *bytes = js_to_bytes(env, value, 0, &length);
  if (bytes == NULL) return false;
  api->result_blob64(context, bytes, length, SQLITE_TRANSIENT);
  return true;
}

bool js_to_sql(napi_env env, const Api *api, sqlite3_context *context, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  switch (type) {
    case napi_undefined:
    case napi_null:
      api->result_null(context);
      return true;
    case napi_boolean:
      api->result_int64(context, js_to_boolean(env, value));
      return true;
    case napi_number:
      return number_to_sql(env, api, context, value);
    case napi_string:
      return text_to_sql(env, api, context, value);
    case napi_bigint: {
      int64_t whole = 0;
      bool lossless = false;
      napi_get_value_bigint_int64(env, value, &whole, &lossless);
      if (lossless) api->result_int64(context, whole);
      return lossless;
    }
    case napi_object:
      return object_to_sql(env, api, context, value);
    default:
      return false;
  }
}
