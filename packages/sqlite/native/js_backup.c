/* The binding of backups. */
#include "js.h"

#include <stdlib.h>

static void finalize_backup(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Handle *handle = data;
  backup_release(handle->backup);
  free(handle);
}

/* backup(connection, destination) */
static napi_value js_backup_start(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  Connection *connection = js_connection(env, args[0]);
  if (connection == NULL) return NULL;
  size_t length = 0;
  char *destination = js_to_text(env, args[1], &length);
  if (destination == NULL) return NULL;
  int code = SQLITE_OK;
  char *message = NULL;
  Backup *backup = backup_start(connection, destination, &code, &message);
  free(destination);
  if (backup == NULL) {
    js_throw(env, code, message != NULL ? message : connection->api->errstr(code));
    free(message);
    return NULL;
  }
  napi_value handle = js_handle(env, HANDLE_BACKUP, backup, finalize_backup);
  if (handle == NULL) backup_release(backup);
  return handle;
}

/* backupStep(backup, pages): whether it is done */
static napi_value js_backup_step(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  Backup *backup = js_backup(env, args[0]);
  if (backup == NULL) return NULL;
  int code = backup_step(backup, js_to_int32(env, args[1]));
  if (code == SQLITE_OK || code == SQLITE_DONE) return js_boolean(env, code == SQLITE_DONE);
  return js_throw(env, code, backup->connection->api->errstr(code));
}

static napi_value js_backup_remaining(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Backup *backup = js_backup(env, args[0]);
  return backup == NULL ? NULL : js_integer(env, backup->connection->api->backup_remaining(backup->backup));
}

static napi_value js_backup_page_count(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Backup *backup = js_backup(env, args[0]);
  return backup == NULL ? NULL : js_integer(env, backup->connection->api->backup_pagecount(backup->backup));
}

static napi_value js_backup_finish(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  Handle *handle = js_any_handle(env, args[0], HANDLE_BACKUP);
  if (handle != NULL) backup_finish(handle->backup);
  return NULL;
}

void js_define_backup(napi_env env, napi_value exports) {
  js_define(env, exports, "backup", js_backup_start);
  js_define(env, exports, "backupStep", js_backup_step);
  js_define(env, exports, "backupRemaining", js_backup_remaining);
  js_define(env, exports, "backupPageCount", js_backup_page_count);
  js_define(env, exports, "backupFinish", js_backup_finish);
}
