/* What the binding's files share: JavaScript values in and out, and the functions that they offer. */
#ifndef JS_H
#define JS_H

#include "pump.h"

/* Reads the arguments of a call into `args`; missing ones are undefined. */
#define ARGUMENTS(count) \
  napi_value args[count]; \
  size_t argc = count; \
  napi_get_cb_info(env, info, &argc, args, NULL, NULL)

/* What an external handle stands for: its first word says so. */
typedef enum HandleKind { HANDLE_LIBRARY = 1, HANDLE_CONNECTION, HANDLE_STATEMENT, HANDLE_BACKUP, HANDLE_BLOB } HandleKind;

typedef struct Handle {
  HandleKind kind;
  union {
    const Api *library;
    Connection *connection;
    Statement *statement;
    Backup *backup;
    Blob *blob;
  };
} Handle;

/* An external over a new handle; NULL with an exception pending: no memory, and nothing is owned. */
napi_value js_handle(napi_env env, HandleKind kind, void *target, napi_finalize finalize);
/* These throw and answer NULL when the value is no such handle, or when what it stands for is closed. */
const Api *js_library(napi_env env, napi_value value);
Connection *js_connection(napi_env env, napi_value value);
Statement *js_statement(napi_env env, napi_value value);
Backup *js_backup(napi_env env, napi_value value);
/* Also answers what is closed; never throws. */
Handle *js_any_handle(napi_env env, napi_value value, HandleKind kind);

napi_value js_number(napi_env env, double value);
/* A number where it is exact, else a bigint. */
napi_value js_int64(napi_env env, int64_t value);
napi_value js_integer(napi_env env, int32_t value);
napi_value js_boolean(napi_env env, bool value);
napi_value js_string(napi_env env, const char *text, size_t length);
int64_t js_to_int64(napi_env env, napi_value value);
int32_t js_to_int32(napi_env env, napi_value value);
bool js_to_boolean(napi_env env, napi_value value);
/* A NUL-terminated copy to free(); NULL with an exception pending. */
char *js_to_text(napi_env env, napi_value value, size_t *length);
/* The bytes of a typed array from `offset` on, at most to its end; NULL with an exception pending. */
uint8_t *js_to_bytes(napi_env env, napi_value value, int64_t offset, size_t *length);

/* ---- js_values.c: SQL's values ---- */

napi_value js_from_sql(napi_env env, const Api *api, sqlite3_value *value);
/* Makes a value the function's result. False: SQLite has no such type. */
bool js_to_sql(napi_env env, const Api *api, sqlite3_context *context, napi_value value);

/* Throw an Error with SQLite's code and message. */
napi_value js_throw(napi_env env, int code, const char *message);
napi_value js_throw_last(napi_env env, const Connection *connection, int code);

void js_define(napi_env env, napi_value exports, const char *name, napi_callback callback);
void js_define_connection(napi_env env, napi_value exports);
void js_define_statement(napi_env env, napi_value exports);
void js_define_backup(napi_env env, napi_value exports);
void js_define_blob(napi_env env, napi_value exports);
void js_define_callbacks(napi_env env, napi_value exports);
void js_define_changes(napi_env env, napi_value exports);
void js_define_wake(napi_env env, napi_value exports);

#endif
