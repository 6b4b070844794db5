/* Guard: functions of SQLite whose time grows with the product of two lengths. SQLite looks at nothing within one call, so
   for statements of strangers their second argument is bounded, and the words are looked at before each call. */
#include "pump.h"

#include <stdlib.h>

static const struct {
  const char *name;
  int arity;
  /* Bytes of the second argument. */
  int most;
  const char *text;
} functions[] = {
    {"trim", 2, 100, "SELECT trim(?, ?)"},
    {"ltrim", 2, 100, "SELECT ltrim(?, ?)"},
    {"rtrim", 2, 100, "SELECT rtrim(?, ?)"},
    {"unhex", 2, 100, "SELECT unhex(?, ?)"},
    {"instr", 2, 1000, "SELECT instr(?, ?)"},
    {"replace", 3, 1000, "SELECT replace(?, ?, ?)"},
    {"json_patch", 2, 1000, "SELECT json_patch(?, ?)"},
    {"jsonb_patch", 2, 1000, "SELECT jsonb_patch(?, ?)"},
};

enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

typedef struct Guarded {
  Connection *connection;
  int index;
  /* Calls the function itself; NULL: this SQLite has none of that name. */
  sqlite3_stmt *stmt;
} Guarded;

struct Guard {
  /* Where the functions are SQLite's own: an empty database in memory. */
  sqlite3 *plain;
  Guarded functions[FUNCTIONS];
};

/* Whom to ask what a function's context belongs to, see callbacks.c. */
static THREAD_LOCAL const Api *library;

static void fail(const Api *api, sqlite3_context *context, const char *message, int code) {
  api->result_error(context, message, -1);
  api->result_error_code(context, code);
}

static void on_call(sqlite3_context *context, int argc, sqlite3_value **argv) {
  const Api *api = library;
  Guarded *guarded = api->user_data(context);
  sqlite3_stmt *stmt = guarded->stmt;
  if (control_check(&guarded->connection->control) != WHY_NONE) {
    api->result_error_code(context, SQLITE_INTERRUPT);
    return;
  }
  int most = functions[guarded->index].most;
  if (api->value_bytes(argv[1]) > most) {
    char *message = api->mprintf("the second argument of %s() is longer than %d bytes", functions[guarded->index].name,
                                 most);
    if (message == NULL) {
      api->result_error_nomem(context);
    } else {
      fail(api, context, message, SQLITE_TOOBIG);
    }
    api->free(message);
    return;
  }
  int code = SQLITE_OK;
  for (int i = 0; i < argc && code == SQLITE_OK; i++) code = api->bind_value(stmt, i + 1, argv[i]);
  if (code == SQLITE_OK) code = api->step(stmt);
  if (code == SQLITE_ROW) {
    sqlite3_value *value = api->column_value(stmt, 0);
    api->result_value(context, value);
    if (api->value_subtype(value) != 0) api->result_subtype(context, api->value_subtype(value));
  } else {
    fail(api, context, api->errmsg(guarded->connection->guard->plain), code);
  }
  api->reset(stmt);
  api->clear_bindings(stmt);
}

bool guard_install(Connection *connection) {
  const Api *api = connection->api;
  if (connection->guard != NULL) return true;
  Guard *guard = calloc(1, sizeof *guard);
  if (guard == NULL) return false;
  connection->guard = guard;
  library = api;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (api->open_v2(":memory:", &guard->plain, flags, NULL) != SQLITE_OK) return false;
  api->limit(guard->plain, SQLITE_LIMIT_LENGTH, api->limit(connection->db, SQLITE_LIMIT_LENGTH, -1));
  for (int i = 0; i < FUNCTIONS; i++) {
    Guarded *guarded = &guard->functions[i];
    *guarded = (Guarded){.connection = connection, .index = i};
    if (api->prepare_v2(guard->plain, functions[i].text, -1, &guarded->stmt, NULL) != SQLITE_OK) continue;
    int how = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    if (api->create_function_v2(connection->db, functions[i].name, functions[i].arity, how, guarded, on_call, NULL, NULL,
                                NULL) != SQLITE_OK) {
      return false;
    }
  }
  return true;
}

void guard_release(Connection *connection) {
  const Api *api = connection->api;
  Guard *guard = connection->guard;
  if (guard == NULL) return;
  connection->guard = NULL;
  for (int i = 0; i < FUNCTIONS; i++) api->finalize(guard->functions[i].stmt);
  api->close_v2(guard->plain);
  free(guard);
}
