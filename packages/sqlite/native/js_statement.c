/* The binding of statements. */
#include "js.h"

#include <stdlib.h>
#include <string.h>

static void finalize_statement(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Handle *handle = data;
  statement_release(handle->statement);
  free(handle);
}

/* What prepare answers: [handle, tail, parameterCount, readonly, routable]. */
static napi_value describe(napi_env env, Statement *statement, const char *tail, size_t tailBytes) {
  napi_value handle = js_handle(env, HANDLE_STATEMENT, statement, finalize_statement);
  if (handle == NULL) {
    statement_release(statement);
    return NULL;
  }
  napi_value result = NULL;
  int parameters = statement->connection->api->bind_parameter_count(statement->stmt);
  napi_create_array_with_length(env, 5, &result);
  napi_set_element(env, result, 0, handle);
  napi_set_element(env, result, 1, js_string(env, tail, tailBytes));
  napi_set_element(env, result, 2, js_integer(env, parameters));
  napi_set_element(env, result, 3, js_boolean(env, statement->readonly));
  napi_set_element(env, result, 4, js_boolean(env, statement_routable(statement)));
  return result;
}

/* prepare(connection, text, own): `own` asks no authorizer */
static napi_value js_prepare(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  size_t length = 0;
  char *text = js_to_text(env, args[1], &length);
  if (text == NULL) return NULL;
  int code = SQLITE_OK;
  const char *tail = text;
  connection->own = js_to_boolean(env, args[2]);
  Statement *statement = statement_prepare(connection, text, length, &tail, &code);
  connection->own = false;
  napi_value result = NULL;
  if (statement != NULL) {
    result = describe(env, statement, tail, length - (size_t)(tail - text));
  } else if (code != SQLITE_OK) {
    js_throw_last(env, connection, code);
  }
  free(text);
  return result;
}

static napi_value js_column_count(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Statement *statement = js_statement(env, args[0]);
  if (statement == NULL) return NULL;
  return js_integer(env, statement->connection->api->column_count(statement->stmt));
}

/* Whether the schema lets a result's column be NULL. A NOT NULL one may be NULL, too, behind an outer join: so "no" is not
   said. An INTEGER PRIMARY KEY is the rowid. */
static bool is_nullable(const Statement *statement, int column) {
  const Api *api = statement->connection->api;
  /* Of libraries built with SQLITE_ENABLE_COLUMN_METADATA. */
  if (api->column_origin_name == NULL || api->column_table_name == NULL || api->column_database_name == NULL) return false;
  const char *schema = api->column_database_name(statement->stmt, column);
  const char *table = api->column_table_name(statement->stmt, column);
  const char *origin = api->column_origin_name(statement->stmt, column);
  const char *type = NULL;
  int notNull = 0;
  int primaryKey = 0;
  if (schema == NULL || table == NULL || origin == NULL) return false;
  if (api->table_column_metadata(statement->connection->db, schema, table, origin, &type, NULL, &notNull, &primaryKey,
                                 NULL) != SQLITE_OK) {
    return false;
  }
  return !notNull && !(primaryKey && type != NULL && api->stricmp(type, "INTEGER") == 0);
}

/* columns(statement): name, declared type (or undefined), whether it is nullable, name, … */
static napi_value js_columns(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Statement *statement = js_statement(env, args[0]);
  if (statement == NULL) return NULL;
  const Api *api = statement->connection->api;
  int count = api->column_count(statement->stmt);
  napi_value result = NULL;
  napi_create_array_with_length(env, (size_t)count * 3, &result);
  for (int i = 0; i < count; i++) {
    const char *name = api->column_name(statement->stmt, i);
    const char *type = api->column_decltype(statement->stmt, i);
    napi_set_element(env, result, (uint32_t)i * 3, js_string(env, name, NAPI_AUTO_LENGTH));
    napi_set_element(env, result, (uint32_t)i * 3 + 1, js_string(env, type, NAPI_AUTO_LENGTH));
    napi_set_element(env, result, (uint32_t)i * 3 + 2, js_boolean(env, is_nullable(statement, i)));
  }
  return result;
}

/* bind(statement, bytes, offset, count, keep): the offset behind what was bound */
static napi_value js_bind(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  Statement *statement = js_statement(env, args[0]);
  if (statement == NULL) return NULL;
  int64_t offset = js_to_int64(env, args[2]);
  size_t length = 0;
  const uint8_t *from = js_to_bytes(env, args[1], offset, &length);
  if (from == NULL) return NULL;
  const uint8_t *at = from;
  int count = js_to_int32(env, args[3]);
  int code = parameters_bind(statement, &at, from + length, count, js_to_boolean(env, args[4]));
  if (code != SQLITE_OK) return js_throw_last(env, statement->connection, code);
  return js_number(env, (double)(offset + (at - from)));
}

/* fetch(statement, maxRows, out, offset, capacity): the page's bytes, or −n */
static napi_value js_fetch(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  Statement *statement = js_statement(env, args[0]);
  if (statement == NULL) return NULL;
  size_t length = 0;
  uint8_t *out = js_to_bytes(env, args[2], js_to_int64(env, args[3]), &length);
  if (out == NULL) return NULL;
  int64_t capacity = js_to_int64(env, args[4]);
  if (capacity < 0 || (uint64_t)capacity > length) return js_throw(env, SQLITE_MISUSE, "out of the array's bounds");
  int64_t bytes = statement_fetch(statement, js_to_int64(env, args[1]), out, (size_t)capacity);
  return bytes == 0 ? js_throw(env, SQLITE_NOMEM, "out of memory") : js_number(env, (double)bytes);
}

/* batch(statement, bytes, offset, parameters, rows, out, outOffset, capacity): the page's bytes */
static napi_value js_batch(napi_env env, napi_callback_info info) {
  ARGUMENTS(8);
  Statement *statement = js_statement(env, args[0]);
  if (statement == NULL) return NULL;
  size_t length = 0;
  const uint8_t *bytes = js_to_bytes(env, args[1], js_to_int64(env, args[2]), &length);
  if (bytes == NULL) return NULL;
  size_t room = 0;
  uint8_t *out = js_to_bytes(env, args[5], js_to_int64(env, args[6]), &room);
  if (out == NULL) return NULL;
  int64_t capacity = js_to_int64(env, args[7]);
  if (capacity < HEADER_BYTES || (uint64_t)capacity > room) {
    return js_throw(env, SQLITE_MISUSE, "no room for the page");
  }
  int parameters = js_to_int32(env, args[3]);
  int64_t rows = js_to_int64(env, args[4]);
  return js_number(env, (double)statement_batch(statement, bytes, length, parameters, rows, out, (size_t)capacity));
}

/* In the order of `counterNames` in src/internal/counters.ts. */
static const int counters[] = {
    SQLITE_STMTSTATUS_FULLSCAN_STEP, SQLITE_STMTSTATUS_SORT,        SQLITE_STMTSTATUS_AUTOINDEX,
    SQLITE_STMTSTATUS_VM_STEP,       SQLITE_STMTSTATUS_REPREPARE,   SQLITE_STMTSTATUS_RUN,
    SQLITE_STMTSTATUS_FILTER_MISS,   SQLITE_STMTSTATUS_FILTER_HIT,  SQLITE_STMTSTATUS_MEMUSED};

/* counters(statement): what it has counted since they were asked for last */
static napi_value js_counters(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Statement *statement = js_statement(env, args[0]);
  if (statement == NULL) return NULL;
  const uint32_t count = sizeof counters / sizeof *counters;
  napi_value result = NULL;
  napi_create_array_with_length(env, count, &result);
  for (uint32_t i = 0; i < count; i++) {
    int value = statement->stmt == NULL ? 0 : statement->connection->api->stmt_status(statement->stmt, counters[i], 1);
    napi_set_element(env, result, i, js_integer(env, value));
  }
  return result;
}

static napi_value js_reset(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Statement *statement = js_statement(env, args[0]);
  if (statement != NULL) statement_reset(statement);
  return NULL;
}

static napi_value js_finalize(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Handle *handle = js_any_handle(env, args[0], HANDLE_STATEMENT);
  if (handle != NULL) statement_finalize(handle->statement);
  return NULL;
}

void js_define_statement(napi_env env, napi_value exports) {
  js_define(env, exports, "prepare", js_prepare);
  js_define(env, exports, "columnCount", js_column_count);
  js_define(env, exports, "columns", js_columns);
  js_define(env, exports, "bind", js_bind);
  js_define(env, exports, "fetch", js_fetch);
  js_define(env, exports, "batch", js_batch);
  js_define(env, exports, "counters", js_counters);
  js_define(env, exports, "reset", js_reset);
  js_define(env, exports, "finalize", js_finalize);
}
