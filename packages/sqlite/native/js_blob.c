/* The binding of blobs. */
#include "js.h"

#include <stdlib.h>

static void finalize_blob(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Handle *handle = data;
  blob_release(handle->blob);
  free(handle);
}

static Blob *blob_of(napi_env env, napi_value value) {
  Handle *handle = js_any_handle(env, value, HANDLE_BLOB);
  if (handle != NULL && !blob_is_closed(handle->blob)) return handle->blob;
  js_throw(env, SQLITE_MISUSE, "the blob is closed");
  return NULL;
}

static int64_t to_rowid(napi_env env, napi_value value) {
  int64_t rowid = 0;
  bool lossless = false;
  napi_get_value_bigint_int64(env, value, &rowid, &lossless);
  return rowid;
}

/* openBlob(connection, schema, table, column, rowid, write) */
static napi_value js_open_blob(napi_env env, napi_callback_info info) {
  ARGUMENTS(6);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  char *names[3] = {NULL, NULL, NULL};
  size_t length = 0;
  bool whole = true;
  for (int i = 0; i < 3 && whole; i++) {
    names[i] = js_to_text(env, args[1 + i], &length);
    whole = names[i] != NULL;
  }
  int code = SQLITE_OK;
  Blob *blob = NULL;
  if (whole) {
    bool write = js_to_boolean(env, args[5]);
    blob = blob_open(connection, names[0], names[1], names[2], to_rowid(env, args[4]), write, &code);
  }
  for (int i = 0; i < 3; i++) free(names[i]);
  if (!whole) return NULL;
  if (blob == NULL) return js_throw_last(env, connection, code);
  napi_value handle = js_handle(env, HANDLE_BLOB, blob, finalize_blob);
  if (handle == NULL) blob_release(blob);
  return handle;
}

/* blobSize(blob) */
static napi_value js_blob_size(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Blob *blob = blob_of(env, args[0]);
  return blob == NULL ? NULL : js_integer(env, blob_size(blob));
}

static napi_value done(napi_env env, const Connection *connection, int code) {
  return code == SQLITE_OK ? NULL : js_throw_last(env, connection, code);
}

/* readBlob(blob, out, offset, keep): fills the array */
static napi_value js_read_blob(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  Blob *blob = blob_of(env, args[0]);
  size_t length = 0;
  uint8_t *out = blob == NULL ? NULL : js_to_bytes(env, args[1], 0, &length);
  if (out == NULL) return NULL;
  if (length > INT32_MAX) return js_throw(env, SQLITE_TOOBIG, "longer than any value");
  return done(env, blob_connection(blob),
              blob_read(blob, out, (int)length, js_to_int32(env, args[2]), js_to_boolean(env, args[3])));
}

/* writeBlob(blob, bytes, offset) */
static napi_value js_write_blob(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  Blob *blob = blob_of(env, args[0]);
  size_t length = 0;
  const uint8_t *bytes = blob == NULL ? NULL : js_to_bytes(env, args[1], 0, &length);
  if (bytes == NULL) return NULL;
  if (length > INT32_MAX) return js_throw(env, SQLITE_TOOBIG, "longer than any value");
  return done(env, blob_connection(blob), blob_write(blob, bytes, (int)length, js_to_int32(env, args[2])));
}

/* reopenBlob(blob, rowid) */
static napi_value js_reopen_blob(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  Blob *blob = blob_of(env, args[0]);
  return blob == NULL ? NULL : done(env, blob_connection(blob), blob_reopen(blob, to_rowid(env, args[1])));
}

/* closeBlob(blob) */
static napi_value js_close_blob(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Handle *handle = js_any_handle(env, args[0], HANDLE_BLOB);
  if (handle != NULL) blob_close(handle->blob);
  return NULL;
}

void js_define_blob(napi_env env, napi_value exports) {
  js_define(env, exports, "openBlob", js_open_blob);
  js_define(env, exports, "blobSize", js_blob_size);
  js_define(env, exports, "readBlob", js_read_blob);
  js_define(env, exports, "writeBlob", js_write_blob);
  js_define(env, exports, "reopenBlob", js_reopen_blob);
  js_define(env, exports, "closeBlob", js_close_blob);
}
