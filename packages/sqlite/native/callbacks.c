/* Callbacks: what SQLite calls while a statement runs, answered by JavaScript functions of the same thread. */
#include "js.h"

#include <stdlib.h>
#include <string.h>

struct Callback {
  Connection *connection;
  napi_ref function;
};

/* What the first argument of an aggregate's function says, as `AggregateOp` in src/internal/boundary.ts has it. */
enum { AGGREGATE_STEP, AGGREGATE_FINAL, AGGREGATE_VALUE, AGGREGATE_INVERSE };

/* SQLite's own limit of a function's arguments is lower (SQLITE_MAX_FUNCTION_ARG is 127, or 1,000 since 3.48). */
enum { MAX_ARGUMENTS = 1000, MOST_ARGUMENTS = MAX_ARGUMENTS + 2 };

/* What a WAL file is checkpointed at, in pages, where SQLite does not say (SQLITE_DEFAULT_WAL_AUTOCHECKPOINT). */
enum { CHECKPOINT_PAGES = 1000 };

/* Whom to ask what a function's context belongs to. A thread's connections are all of one library: a worker has one. */
static THREAD_LOCAL const Api *library;

static napi_env env_of(const Callback *callback) {
  return callback->connection->env;
}

/* Calls the function. False: it threw; the exception is cleared, and its message is in `*thrown` where wanted. */
static bool call(const Callback *callback, size_t count, napi_value *args, napi_value *result, napi_value *thrown) {
  napi_env env = env_of(callback);
  napi_value function = NULL;
  napi_value nobody = NULL;
  napi_get_reference_value(env, callback->function, &function);
  napi_get_undefined(env, &nobody);
  if (napi_call_function(env, nobody, function, count, args, result) == napi_ok) return true;
  napi_value error = NULL;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending && napi_get_and_clear_last_exception(env, &error) == napi_ok && thrown != NULL) {
    napi_get_named_property(env, error, "message", thrown);
  }
  return false;
}

/* A call for its answer as a number; `otherwise` when it threw, which stops the statement at the next look. */
static int32_t ask(Callback *callback, size_t count, napi_value *args, int32_t otherwise) {
  napi_value result = NULL;
  if (!call(callback, count, args, &result, NULL)) {
    callback->connection->control.failed = true;
    return otherwise;
  }
  return js_to_int32(env_of(callback), result);
}

Callback *callback_make(Connection *connection, napi_value function) {
  Callback *callback = calloc(1, sizeof *callback);
  if (callback == NULL) return NULL;
  callback->connection = connection;
  if (napi_create_reference(connection->env, function, 1, &callback->function) == napi_ok) return callback;
  free(callback);
  return NULL;
}

void callback_free(void *pointer) {
  Callback *callback = pointer;
  if (callback == NULL) return;
  napi_delete_reference(env_of(callback), callback->function);
  free(callback);
}

/* ---- SQL functions ---- */

static void fail(const Callback *callback, sqlite3_context *context, napi_value message) {
  const Api *api = callback->connection->api;
  char *text = NULL;
  size_t length = 0;
  if (message != NULL) text = js_to_text(env_of(callback), message, &length);
  if (text == NULL) {
    napi_value ignored = NULL;
    napi_get_and_clear_last_exception(env_of(callback), &ignored);
  }
  api->result_error(context, text != NULL ? text : "the callback failed", -1);
  free(text);
}

/* Calls a function of SQL: `leading` numbers first (an aggregate's), then the arguments. */
static void apply(sqlite3_context *context, int leading, const double *numbers, int argc, sqlite3_value **argv,
                  bool answers) {
  const Callback *callback = library->user_data(context);
  napi_handle_scope scope = NULL;
  napi_env env = env_of(callback);
  const Api *api = callback->connection->api;
  if (argc > MAX_ARGUMENTS) {
    api->result_error(context, "too many arguments", -1);
    return;
  }
  napi_open_handle_scope(env, &scope);
  napi_value args[MOST_ARGUMENTS];
  napi_value result = NULL;
  napi_value thrown = NULL;
  for (int i = 0; i < leading; i++) args[i] = js_number(env, numbers[i]);
  for (int i = 0; i < argc; i++) args[leading + i] = js_from_sql(env, api, argv[i]);
  if (!call(callback, (size_t)(leading + argc), args, &result, &thrown)) {
    fail(callback, context, thrown);
  } else if (answers && !js_to_sql(env, api, context, result)) {
    api->result_error(context, "the callback answered what SQLite cannot store", -1);
  }
  napi_close_handle_scope(env, scope);
}

static void on_scalar(sqlite3_context *context, int argc, sqlite3_value **argv) {
  apply(context, 0, NULL, argc, argv, true);
}

/* The group that a call belongs to, numbered from 1; 0: there was no row in it (or no memory). */
static double group_of(sqlite3_context *context, bool make) {
  Callback *callback = library->user_data(context);
  int64_t *group = library->aggregate_context(context, make ? (int)sizeof *group : 0);
  if (group == NULL) return 0;
  if (*group == 0) *group = ++callback->connection->groups;
  return (double)*group;
}

static void on_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
  double numbers[] = {AGGREGATE_STEP, group_of(context, true)};
  apply(context, 2, numbers, argc, argv, false);
}

static void on_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
  double numbers[] = {AGGREGATE_INVERSE, group_of(context, true)};
  apply(context, 2, numbers, argc, argv, false);
}

static void on_value(sqlite3_context *context) {
  double numbers[] = {AGGREGATE_VALUE, group_of(context, false)};
  apply(context, 2, numbers, 0, NULL, true);
}

static void on_final(sqlite3_context *context) {
  double numbers[] = {AGGREGATE_FINAL, group_of(context, false)};
  apply(context, 2, numbers, 0, NULL, true);
}

/* Whether a schema must not call such a function. */
static bool is_unsafe(Connection *connection, int flags) {
  int trusted = 0;
  connection->api->db_config(connection->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, -1, &trusted);
  return trusted == 0 || (flags & SQLITE_DIRECTONLY) != 0;
}

int callback_function(Connection *connection, const char *name, int arity, int flags, FunctionKind kind,
                      Callback *callback) {
  const Api *api = connection->api;
  library = api;
  /* Whether a schema may call a function is decided as it is parsed: one that was not there then would pass. */
  if (callback != NULL && is_unsafe(connection, flags)) {
    int code = connection_forget_schemas(connection);
    if (code != SQLITE_OK) {
      callback_free(callback);
      return code;
    }
  }
  flags |= SQLITE_UTF8;
  /* On failure, too, SQLite calls the destructor. */
  if (callback == NULL) {
    return api->create_function_v2(connection->db, name, arity, flags, NULL, NULL, NULL, NULL, NULL);
  }
  switch (kind) {
    case FUNCTION_SCALAR:
      return api->create_function_v2(connection->db, name, arity, flags, callback, on_scalar, NULL, NULL,
                                     callback_free);
    case FUNCTION_AGGREGATE:
      return api->create_function_v2(connection->db, name, arity, flags, callback, NULL, on_step, on_final,
                                     callback_free);
    default:
      return api->create_window_function(connection->db, name, arity, flags, callback, on_step, on_final, on_value,
                                         on_inverse, callback_free);
  }
}

/* ---- tables ---- */

/* A copy of a function's answer. */
static uint8_t *copy_bytes(napi_env env, napi_value value, size_t *size) {
  bool is = false;
  napi_is_typedarray(env, value, &is);
  const uint8_t *bytes = is ? js_to_bytes(env, value, 0, size) : NULL;
  uint8_t *copy = bytes == NULL ? NULL : malloc(*size + 1);
  if (copy != NULL) memcpy(copy, bytes, *size);
  return copy;
}

bool callback_page(const Callback *callback, int op, double number, int argc, sqlite3_value **argv, uint8_t **page,
                   size_t *size, char **message) {
  napi_env env = env_of(callback);
  const Api *api = callback->connection->api;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[MOST_ARGUMENTS];
  napi_value result = NULL;
  napi_value thrown = NULL;
  args[0] = js_integer(env, op);
  args[1] = js_number(env, number);
  for (int i = 0; i < argc; i++) {
    args[2 + i] = argv[i] != NULL ? js_from_sql(env, api, argv[i]) : js_string(env, NULL, 0);
  }
  bool done = call(callback, (size_t)argc + 2, args, &result, &thrown);
  if (done && page != NULL) {
    *page = copy_bytes(env, result, size);
    done = *page != NULL;
  }
  size_t length = 0;
  if (thrown != NULL && message != NULL) *message = js_to_text(env, thrown, &length);
  napi_close_handle_scope(env, scope);
  return done;
}

/* ---- collations ---- */

/* SQLite knows of no failure here and goes on: what it makes of the answer is thrown away, see connection_step. */
static int misjudge(Connection *connection) {
  connection->misjudged = true;
  /* A VACUUM commits without asking anybody; but it has statements of its own to begin before that. */
  control_hurry(connection);
  return 0;
}

static int on_compare(void *pointer, int lengthA, const void *a, int lengthB, const void *b) {
  Callback *callback = pointer;
  Connection *connection = callback->connection;
  napi_env env = env_of(callback);
  if (connection->control.failed) return misjudge(connection);
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[] = {js_string(env, a, (size_t)lengthA), js_string(env, b, (size_t)lengthB)};
  int order = ask(callback, 2, args, 0);
  napi_close_handle_scope(env, scope);
  return connection->control.failed ? misjudge(connection) : order;
}

int callback_collation(Connection *connection, const char *name, Callback *callback) {
  const Api *api = connection->api;
  int code = api->create_collation_v2(connection->db, name, SQLITE_UTF8, callback, callback != NULL ? on_compare : NULL,
                                      callback != NULL ? callback_free : NULL);
  /* Unlike with functions the destructor is not called then. */
  if (code != SQLITE_OK) callback_free(callback);
  if (code == SQLITE_OK && callback != NULL && !connection->collations) {
    connection->collations = true;
    callback_refresh(connection, HOOK_COMMIT);
  }
  return code;
}

/* ---- hooks ---- */

/* Texts that SQLite may leave out are undefined. */
static napi_value text_or_nothing(napi_env env, const char *text) {
  return js_string(env, text, NAPI_AUTO_LENGTH);
}

static int32_t notify(Connection *connection, Hook hook, size_t count, napi_value *args, int32_t otherwise) {
  Callback *callback = connection->hooks[hook];
  return callback == NULL ? 0 : ask(callback, count, args, otherwise);
}

int callback_authorize(Connection *connection, int action, const char *first, const char *second, const char *database,
                       const char *trigger) {
  if (connection->hooks[HOOK_AUTHORIZER] == NULL) return SQLITE_OK;
  napi_env env = connection->env;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[] = {js_integer(env, action), text_or_nothing(env, first), text_or_nothing(env, second),
                       text_or_nothing(env, database), text_or_nothing(env, trigger)};
  int32_t answer = notify(connection, HOOK_AUTHORIZER, 5, args, SQLITE_DENY);
  napi_close_handle_scope(env, scope);
  return answer == SQLITE_OK || answer == SQLITE_IGNORE ? answer : SQLITE_DENY;
}

bool callback_retry(Connection *connection, int tries) {
  napi_env env = connection->env;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[] = {js_integer(env, tries)};
  bool again = notify(connection, HOOK_BUSY, 1, args, 0) != 0;
  napi_close_handle_scope(env, scope);
  return again;
}

bool callback_stops(Connection *connection) {
  if (connection->hooks[HOOK_PROGRESS] == NULL) return false;
  napi_env env = connection->env;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  bool stops = notify(connection, HOOK_PROGRESS, 0, NULL, 1) != 0;
  napi_close_handle_scope(env, scope);
  return stops;
}

/* Calls a hook whose failure does not stop the statement: most tell of what has happened. `otherwise` is the answer of one
   that failed. */
static int32_t tell(Connection *connection, Hook hook, size_t count, napi_value *args, int32_t otherwise) {
  napi_value result = NULL;
  Callback *callback = connection->hooks[hook];
  if (callback == NULL || !call(callback, count, args, &result, NULL)) return otherwise;
  return js_to_int32(connection->env, result);
}

static void on_update(void *pointer, int operation, const char *database, const char *table, sqlite3_int64 rowid) {
  Connection *connection = pointer;
  /* A VACUUM copies the schema row by row. */
  if (strcmp(table, "sqlite_master") == 0) return;
  if (connection->changes != NULL) changes_add(connection->changes, operation, database, table, rowid);
  blobs_changed(connection, database, table, rowid);
  if (connection->hooks[HOOK_UPDATE] == NULL) return;
  napi_env env = connection->env;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[] = {js_integer(env, operation), text_or_nothing(env, database), text_or_nothing(env, table),
                       js_int64(env, rowid)};
  tell(connection, HOOK_UPDATE, 4, args, 0);
  napi_close_handle_scope(env, scope);
}

static int on_commit(void *pointer) {
  Connection *connection = pointer;
  if (connection->misjudged) return 1;
  if (connection->hooks[HOOK_COMMIT] == NULL) return 0;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(connection->env, &scope);
  int32_t refused = tell(connection, HOOK_COMMIT, 0, NULL, 1);
  napi_close_handle_scope(connection->env, scope);
  return refused;
}

static void on_rollback(void *pointer) {
  Connection *connection = pointer;
  if (connection->changes != NULL) changes_rolled_back(connection->changes);
  if (connection->hooks[HOOK_ROLLBACK] == NULL) return;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(connection->env, &scope);
  tell(connection, HOOK_ROLLBACK, 0, NULL, 0);
  napi_close_handle_scope(connection->env, scope);
}

/* Checkpoints where SQLite's own hook would have. */
static int on_wal(void *pointer, sqlite3 *db, const char *database, int pages) {
  Connection *connection = pointer;
  napi_env env = connection->env;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[] = {text_or_nothing(env, database), js_integer(env, pages)};
  tell(connection, HOOK_WAL, 2, args, 0);
  napi_close_handle_scope(env, scope);
  if (connection->checkpointPages > 0 && pages >= connection->checkpointPages) {
    connection->api->wal_checkpoint_v2(db, database, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  }
  return SQLITE_OK;
}

/* At how many pages SQLite's own hook checkpoints; 0: it does not, or another hook is in its place. */
static int autocheckpoint(Connection *connection) {
  const Api *api = connection->api;
  sqlite3_stmt *stmt = NULL;
  int pages = CHECKPOINT_PAGES;
  connection->own = true;
  connection->control.shielded++;
  int code = api->prepare_v2(connection->db, "PRAGMA wal_autocheckpoint", -1, &stmt, NULL);
  if (code == SQLITE_OK && api->step(stmt) == SQLITE_ROW) pages = api->column_int(stmt, 0);
  api->finalize(stmt);
  connection->control.shielded--;
  connection->own = false;
  return pages;
}

/* Whoever sets this hook takes the place of SQLite's own. `PRAGMA wal_autocheckpoint=n` takes it back: then that stands. */
static void set_wal_hook(Connection *connection, bool on) {
  const Api *api = connection->api;
  int pages = autocheckpoint(connection);
  bool ours = api->wal_hook(connection->db, on ? on_wal : NULL, connection) == connection;
  if (!ours) connection->checkpointPages = pages;
  if (!on) api->wal_autocheckpoint(connection->db, connection->checkpointPages);
}

static int on_trace(unsigned event, void *pointer, void *stmt, void *detail) {
  Connection *connection = pointer;
  const Api *api = connection->api;
  if (connection->own) return 0;
  napi_env env = connection->env;
  bool profile = event == SQLITE_TRACE_PROFILE;
  const char *text = profile ? api->sql(stmt) : detail;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[] = {text_or_nothing(env, text), js_number(env, profile ? (double)*(sqlite3_int64 *)detail : 0)};
  tell(connection, profile ? HOOK_PROFILE : HOOK_TRACE, profile ? 2 : 1, args, 0);
  napi_close_handle_scope(env, scope);
  return 0;
}

static void on_collation_needed(void *pointer, sqlite3 *db, int encoding, const char *name) {
  (void)db;
  (void)encoding;
  Connection *connection = pointer;
  napi_env env = connection->env;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[] = {text_or_nothing(env, name)};
  tell(connection, HOOK_COLLATION_NEEDED, 1, args, 0);
  napi_close_handle_scope(env, scope);
}

/* How many of the free pages go with this commit: none when the program fails to say. */
static unsigned int on_autovacuum_pages(void *pointer, const char *database, unsigned int pages, unsigned int free,
                                        unsigned int pageSize) {
  Connection *connection = pointer;
  napi_env env = connection->env;
  napi_handle_scope scope = NULL;
  napi_open_handle_scope(env, &scope);
  napi_value args[] = {text_or_nothing(env, database), js_number(env, pages), js_number(env, free),
                       js_number(env, pageSize)};
  int32_t wanted = tell(connection, HOOK_AUTOVACUUM_PAGES, 4, args, 0);
  napi_close_handle_scope(env, scope);
  return wanted < 0 ? 0 : (unsigned int)wanted < free ? (unsigned int)wanted : free;
}

void callback_hook(Connection *connection, Hook hook, Callback *callback) {
  callback_free(connection->hooks[hook]);
  connection->hooks[hook] = callback;
  callback_refresh(connection, hook);
}

void callback_refresh(Connection *connection, Hook hook) {
  const Api *api = connection->api;
  sqlite3 *db = connection->db;
  bool on = connection->hooks[hook] != NULL;
  bool listening = connection->changes != NULL;
  bool blobs = connection->blobs != NULL;
  switch (hook) {
    case HOOK_UPDATE:
      api->update_hook(db, on || listening || blobs ? on_update : NULL, connection);
      break;
    case HOOK_COMMIT:
      api->commit_hook(db, on || connection->collations ? on_commit : NULL, connection);
      break;
    case HOOK_ROLLBACK:
      api->rollback_hook(db, on || listening ? on_rollback : NULL, connection);
      break;
    case HOOK_WAL:
      set_wal_hook(connection, on);
      break;
    case HOOK_COLLATION_NEEDED:
      api->collation_needed(db, connection, on ? on_collation_needed : NULL);
      break;
    case HOOK_AUTOVACUUM_PAGES:
      /* Since SQLite 3.37; no carrier is older. */
      api->autovacuum_pages(db, on ? on_autovacuum_pages : NULL, connection, NULL);
      break;
    case HOOK_TRACE:
    case HOOK_PROFILE: {
      unsigned mask = connection->hooks[HOOK_TRACE] != NULL ? SQLITE_TRACE_STMT : 0;
      if (connection->hooks[HOOK_PROFILE] != NULL) mask |= SQLITE_TRACE_PROFILE;
      api->trace_v2(db, mask, mask != 0 ? on_trace : NULL, connection);
      break;
    }
    case HOOK_AUTHORIZER:
      /* Ours asks the program's already; but what has been prepared without it must be prepared again. */
      actions_install(connection);
      break;
    default:
      /* Busy and progress handler are ours already and ask. */
      break;
  }
}

void callback_release(Connection *connection) {
  for (int hook = 0; hook < HOOK_COUNT; hook++) {
    callback_free(connection->hooks[hook]);
    connection->hooks[hook] = NULL;
  }
}
