/* The binding of connections: open, close, exec, serialize, and what ties them to their environment. */
#include "js.h"

#include <stdlib.h>
#include <string.h>

static void close_at_exit(void *pointer) {
  Connection *connection = pointer;
  connection->leaving = true;
  connection_close(connection);
}

/* Closes, and lets go of the environment. */
static void detach(Connection *connection) {
  if (connection->db == NULL) return;
  napi_remove_env_cleanup_hook(connection->env, close_at_exit, connection);
  connection_close(connection);
  napi_delete_reference(connection->env, connection->words);
  connection->words = NULL;
}

static void finalize_connection(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Handle *handle = data;
  detach(handle->connection);
  connection_release(handle->connection);
  free(handle);
}

/* Ties a connection to the environment, which closes it when a thread ends without having done so. */
static napi_value attach(napi_env env, Connection *connection, napi_value words) {
  napi_value handle = js_handle(env, HANDLE_CONNECTION, connection, finalize_connection);
  if (handle == NULL) {
    connection_close(connection);
    connection_release(connection);
    return NULL;
  }
  connection->env = env;
  napi_create_reference(env, words, 1, &connection->words);
  napi_add_env_cleanup_hook(env, close_at_exit, connection);
  return handle;
}

/* open(library, filename, readonly, create, words, progressSteps, busyTimeout) */
static napi_value js_open(napi_env env, napi_callback_info info) {
  ARGUMENTS(7);
  const Api *api = js_library(env, args[0]);
  if (api == NULL) return NULL;
  size_t bytes = 0;
  void *words = js_to_bytes(env, args[4], 0, &bytes);
  if (words == NULL) return NULL;
  if (bytes < control_bytes()) return js_throw(env, SQLITE_MISUSE, "the control block is too small");
  size_t length = 0;
  char *filename = js_to_text(env, args[1], &length);
  if (filename == NULL) return NULL;
  if (strlen(filename) != length) {
    free(filename);
    return js_throw(env, SQLITE_MISUSE, "NUL in the file name");
  }
  int flags = js_to_boolean(env, args[2]) ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (flags == SQLITE_OPEN_READWRITE && js_to_boolean(env, args[3])) flags |= SQLITE_OPEN_CREATE;
  int code = SQLITE_OK;
  char *message = NULL;
  Connection *connection = connection_open(api, filename, flags, &code, &message);
  free(filename);
  if (connection == NULL) {
    js_throw(env, code, message != NULL ? message : api->errstr(code));
    free(message);
    return NULL;
  }
  connection_configure(connection, words, js_to_int32(env, args[5]), js_to_int32(env, args[6]));
  return attach(env, connection, args[4]);
}

static napi_value js_close(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Handle *handle = js_any_handle(env, args[0], HANDLE_CONNECTION);
  if (handle != NULL) detach(handle->connection);
  return NULL;
}

/* start(connection, seq, slot): names the request that the following calls are for; answers why it must not begin. */
static napi_value js_start(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  int32_t slot = js_to_int32(env, args[2]);
  if (!control_begin(&connection->control, js_to_int32(env, args[1]), slot)) {
    return js_throw(env, SQLITE_MISUSE, "no such slot");
  }
  return js_integer(env, control_check(&connection->control));
}

static napi_value js_end(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Connection *connection = js_connection(env, args[0]);
  if (connection != NULL) control_begin(&connection->control, 0, 0);
  return NULL;
}

static napi_value js_check(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Connection *connection = js_connection(env, args[0]);
  return connection == NULL ? NULL : js_integer(env, control_check(&connection->control));
}

/* exec(connection, text, own): temporary objects of our own do not seclude the connection */
static napi_value js_exec(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  size_t length = 0;
  char *text = js_to_text(env, args[1], &length);
  if (text == NULL) return NULL;
  bool secluded = connection->secluded;
  int code = connection_exec(connection, text, length);
  if (js_to_boolean(env, args[2])) connection->secluded = secluded;
  free(text);
  return code == SQLITE_OK ? NULL : js_throw_last(env, connection, code);
}

static napi_value js_in_transaction(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  return js_boolean(env, (connection_flags(connection) & FLAG_IN_TRANSACTION) != 0);
}

static napi_value js_load_extension(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  size_t length = 0;
  char *path = js_to_text(env, args[1], &length);
  if (path == NULL) return NULL;
  char *message = NULL;
  int code = connection_load_extension(connection, path, &message);
  free(path);
  if (code != SQLITE_OK) js_throw(env, code, message != NULL ? message : connection->api->errstr(code));
  free(message);
  return NULL;
}

static napi_value js_serialize(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  const Api *api = connection->api;
  if (api->serialize == NULL) return js_throw(env, SQLITE_ERROR, "this SQLite has no serialize");
  sqlite3_int64 size = 0;
  connection->control.why = WHY_NONE;
  unsigned char *bytes = api->serialize(connection->db, "main", &size, 0);
  if (bytes == NULL && size != 0) {
    int code = api->extended_errcode(connection->db);
    return js_throw_last(env, connection, connection_code(connection, code == SQLITE_OK ? SQLITE_NOMEM : code));
  }
  void *data = NULL;
  napi_value result = NULL;
  napi_status status = napi_create_arraybuffer(env, (size_t)size, &data, &result);
  if (status == napi_ok && size > 0) memcpy(data, bytes, (size_t)size);
  api->free(bytes);
  if (status == napi_ok) return result;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  return pending ? NULL : js_throw(env, SQLITE_NOMEM, "out of memory");
}

/* assertReplaceable(connection): throws where the main database cannot be replaced as it stands */
static napi_value js_assert_replaceable(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  const char *obstacle = connection_replace_obstacle(connection);
  return obstacle == NULL ? NULL : js_throw(env, SQLITE_BUSY, obstacle);
}

/* deserialize(connection, bytes): puts them in the place of the main database, in memory of its own */
static napi_value js_deserialize(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  size_t length = 0;
  const uint8_t *bytes = js_to_bytes(env, args[1], 0, &length);
  if (bytes == NULL) return NULL;
  const char *obstacle = connection_replace_obstacle(connection);
  if (obstacle != NULL) return js_throw(env, SQLITE_BUSY, obstacle);
  int code = connection_replace(connection, bytes, length);
  if ((code & 0xff) == SQLITE_NOTADB) return js_throw(env, SQLITE_RANGE, "These bytes are no SQLite database");
  /* A database in memory that has pages keeps their size. No code of SQLite's: what cannot be done at all. */
  if ((code & 0xff) == SQLITE_READONLY) {
    return js_throw(env, -1, "These bytes have pages of another size than the database that they are to replace: use a "
                             "client that has written nothing yet, or whose page_size was set alike before it did");
  }
  return code == SQLITE_OK ? NULL : js_throw(env, code, connection->api->errstr(code));
}

/* setOption(connection, option, on) */
static napi_value js_set_option(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  Connection *connection = js_connection(env, args[0]);
  if (connection != NULL) connection_set_option(connection, js_to_int32(env, args[1]), js_to_boolean(env, args[2]));
  return NULL;
}

/* setLimit(connection, limit, value) */
static napi_value js_set_limit(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  Connection *connection = js_connection(env, args[0]);
  if (connection != NULL) connection_set_limit(connection, js_to_int32(env, args[1]), js_to_int32(env, args[2]));
  return NULL;
}

/* restrict(connection): see actions_restrict, whose answer it gives */
static napi_value js_restrict(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Connection *connection = js_connection(env, args[0]);
  return connection == NULL ? NULL : js_boolean(env, actions_restrict(connection));
}

void js_define_connection(napi_env env, napi_value exports) {
  js_define(env, exports, "open", js_open);
  js_define(env, exports, "close", js_close);
  js_define(env, exports, "start", js_start);
  js_define(env, exports, "end", js_end);
  js_define(env, exports, "check", js_check);
  js_define(env, exports, "setOption", js_set_option);
  js_define(env, exports, "setLimit", js_set_limit);
  js_define(env, exports, "restrict", js_restrict);
  js_define(env, exports, "exec", js_exec);
  js_define(env, exports, "inTransaction", js_in_transaction);
  js_define(env, exports, "loadExtension", js_load_extension);
  js_define(env, exports, "serialize", js_serialize);
  js_define(env, exports, "assertReplaceable", js_assert_replaceable);
  js_define(env, exports, "deserialize", js_deserialize);
}
