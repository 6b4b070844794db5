/* Connection: opens, configures and closes SQLite connections in the library that an API table belongs to. */
#include "pump.h"

#include <stdlib.h>
#include <string.h>

Connection *connection_open(const Api *api, const char *filename, int flags, int *code, char **message) {
  Connection *connection = calloc(1, sizeof *connection);
  if (connection == NULL) {
    *code = SQLITE_NOMEM;
    return NULL;
  }
  connection->references = 1;
  connection->api = api;
  *code = api->open_v2(filename, &connection->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
  if (*code == SQLITE_OK) {
    api->extended_result_codes(connection->db, 1);
    return connection;
  }
  if (connection->db != NULL) {
    *code = api->extended_errcode(connection->db);
    *message = text_copy(api->errmsg(connection->db));
    api->close_v2(connection->db);
  }
  free(connection);
  return NULL;
}

void connection_configure(Connection *connection, void *words, int progressSteps, int busyTimeout) {
  const Api *api = connection->api;
  connection->control.words = words;
  connection->control.progressSteps = progressSteps;
  connection->control.busyTimeout = busyTimeout > 0 ? (uint64_t)busyTimeout * 1000000 : 0;
  control_install(connection);
  actions_install(connection);
  /* What carriers' own connections start with, whatever the library was compiled for. */
  api->db_config(connection->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
}

void connection_set_option(Connection *connection, int option, bool on) {
  connection->api->db_config(connection->db, option, on ? 1 : 0, NULL);
}

void connection_set_limit(Connection *connection, int limit, int value) {
  connection->api->limit(connection->db, limit, value);
}

/* Not sqlite3_exec: only what is prepared here may count as done here, not what a VACUUM attaches inside. */
int connection_exec(Connection *connection, const char *text, size_t length) {
  const char *end = text + length;
  const char *tail = text;
  int code = SQLITE_OK;
  while (code == SQLITE_OK) {
    Statement *statement = statement_prepare(connection, tail, (size_t)(end - tail), &tail, &code);
    if (statement == NULL) break;
    /* Short statements end before SQLite ever looks at the words: look between them. */
    code = control_check(&connection->control) == WHY_NONE ? statement_run(statement) : SQLITE_INTERRUPT;
    code = code == SQLITE_DONE ? SQLITE_OK : connection_code(connection, code);
    if (statement->running) changes_end(statement, code != SQLITE_OK);
    statement_release(statement);
  }
  return code;
}

int connection_tidy(Connection *connection, const char *text) {
  bool brief = connection->brief;
  connection->brief = true;
  connection->control.shielded++;
  int code = connection->api->exec(connection->db, text, NULL, NULL, NULL);
  connection->control.shielded--;
  connection->brief = brief;
  return code;
}

/* For what takes effect as it is prepared, and would stop statements that are open if it ran. */
static int prepare_only(Connection *connection, const char *text) {
  const Api *api = connection->api;
  sqlite3_stmt *stmt = NULL;
  int code = api->prepare_v2(connection->db, text, -1, &stmt, NULL);
  api->finalize(stmt);
  return code;
}

int connection_forget_schemas(Connection *connection) {
  const Api *api = connection->api;
  bool inTransaction = !api->get_autocommit(connection->db);
  int code = SQLITE_OK;
  int writable = 0;
  blobs_put_aside(connection);
  connection->own = true;
  connection->control.shielded++;
  /* Virtual tables are opened anew, too: what they hold back until the commit must be in the file by then. */
  if (inTransaction) code = api->exec(connection->db, "SAVEPOINT sluice; RELEASE sluice", NULL, NULL, NULL);
  if (code == SQLITE_OK) {
    api->db_config(connection->db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, -1, &writable);
    code = prepare_only(connection, "PRAGMA writable_schema=RESET");
    if (writable != 0) api->db_config(connection->db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL);
  }
  if (code == SQLITE_OK) connection->forgotten = inTransaction;
  connection->control.shielded--;
  connection->own = false;
  return code;
}

/* With the schemas SQLite forgets that the transaction has changed them, and would keep what a rollback takes back. */
void connection_refresh_schemas(Connection *connection) {
  if (connection->forgotten && connection->api->get_autocommit(connection->db)) connection_forget_schemas(connection);
}

const char *connection_replace_obstacle(Connection *connection) {
  const Api *api = connection->api;
  if (!api->get_autocommit(connection->db)) {
    return "the database cannot be replaced while a transaction is open: replace it before or after the transaction";
  }
  /* They read pages that would be freed: SQLite itself does not look. */
  if (connection->backups != NULL) {
    return "the database cannot be replaced while a backup of it is being made: wait for its end, or end its stream";
  }
  blobs_put_aside(connection);
  sqlite3_stmt *stmt = NULL;
  while ((stmt = api->next_stmt(connection->db, stmt)) != NULL) {
    if (api->stmt_busy(stmt)) {
      return "the database cannot be replaced while a result on the same session is open: end its stream first";
    }
  }
  return NULL;
}

/* A connection of its own on a copy of the image. */
static int scratch_open(const Api *api, const void *bytes, size_t length, sqlite3 **scratch) {
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  int code = api->open_v2(":memory:", scratch, flags, NULL);
  if (code != SQLITE_OK) return code;
  api->extended_result_codes(*scratch, 1);
  unsigned char *image = api->malloc64(length);
  if (image == NULL) return SQLITE_NOMEM;
  memcpy(image, bytes, length);
  /* SQLite frees the image, also when it fails. */
  unsigned owned = SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE;
  return api->deserialize(*scratch, "main", image, (sqlite3_int64)length, (sqlite3_int64)length, owned);
}

static int copy_main(const Api *api, sqlite3 *from, sqlite3 *to) {
  sqlite3_backup *backup = api->backup_init(to, "main", from, "main");
  if (backup == NULL) return api->extended_errcode(to);
  api->backup_step(backup, -1);
  return api->backup_finish(backup);
}

/* Not sqlite3_deserialize on the connection itself: it frees the schema of the main database, which temporary triggers and
   table-valued functions (pragma_…, json_each) go on pointing to. */
int connection_replace(Connection *connection, const void *bytes, size_t length) {
  const Api *api = connection->api;
  if (api->deserialize == NULL) return SQLITE_ERROR;
  connection->control.why = WHY_NONE;
  sqlite3 *scratch = NULL;
  int code = scratch_open(api, bytes, length, &scratch);
  if (code == SQLITE_OK) code = copy_main(api, scratch, connection->db);
  if (scratch != NULL) api->close_v2(scratch);
  if (code != SQLITE_OK) return code;
  blobs_replaced(connection, "main");
  changes_replaced(connection);
  return SQLITE_OK;
}

int connection_load_extension(Connection *connection, const char *path, char **message) {
  const Api *api = connection->api;
  if (api->load_extension == NULL) return SQLITE_ERROR;
  char *text = NULL;
  api->db_config(connection->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  int code = api->load_extension(connection->db, path, NULL, &text);
  api->db_config(connection->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
  *message = text_copy(text);
  api->free(text);
  /* Whatever it has registered, see callback_function. */
  int forgotten = connection_forget_schemas(connection);
  return code != SQLITE_OK ? code : forgotten;
}

/* What was misjudged still waits for its end: another statement that writes is open, and commits for both. */
static void settle_misjudged(Connection *connection) {
  const Api *api = connection->api;
  connection->misjudged = api->get_autocommit(connection->db) && api->txn_state != NULL &&
                          api->txn_state(connection->db, NULL) == SQLITE_TXN_WRITE;
  control_install(connection);
}

/* As with a write that is stopped, the whole transaction goes. */
static int undo_misjudged(Connection *connection, sqlite3_stmt *stmt) {
  const Api *api = connection->api;
  bool readonly = api->stmt_readonly(stmt) != 0;
  if (control_check(&connection->control) == WHY_NONE) connection->control.why = WHY_CALLBACK;
  /* Outside a transaction that is a commit, which our hook refuses. */
  api->reset(stmt);
  if (!readonly && !api->get_autocommit(connection->db)) connection_tidy(connection, "ROLLBACK");
  return SQLITE_INTERRUPT;
}

int connection_step(Connection *connection, sqlite3_stmt *stmt) {
  sqlite3_stmt *around = connection->stepping;
  /* Of an earlier step, or of a preparation. */
  if (connection->misjudged && around == NULL) settle_misjudged(connection);
  connection->stepping = stmt;
  int code = connection->api->step(stmt);
  if (connection->misjudged) code = undo_misjudged(connection, stmt);
  connection->stepping = around;
  if (connection->misjudged && around == NULL) settle_misjudged(connection);
  return code;
}

int64_t connection_total_changes(const Connection *connection) {
  const Api *api = connection->api;
  return api->total_changes64 != NULL ? api->total_changes64(connection->db) : api->total_changes(connection->db);
}

int64_t connection_changes(const Connection *connection) {
  const Api *api = connection->api;
  return api->changes64 != NULL ? api->changes64(connection->db) : api->changes(connection->db);
}

uint32_t connection_flags(const Connection *connection) {
  uint32_t flags = 0;
  if (!connection->api->get_autocommit(connection->db)) flags |= FLAG_IN_TRANSACTION;
  if (connection->secluded) flags |= FLAG_PRIVATE;
  return flags;
}

int connection_code(const Connection *connection, int code) {
  if (code == SQLITE_OK || connection->control.why == WHY_NONE) return code;
  return SQLITE_INTERRUPT;
}

const char *connection_message(const Connection *connection, int code) {
  const Api *api = connection->api;
  /* Codes that we made have no message in the connection. */
  if ((code & 0xff) == (api->errcode(connection->db) & 0xff)) return api->errmsg(connection->db);
  return api->errstr(code);
}

void connection_close(Connection *connection) {
  if (connection->db == NULL) return;
  while (connection->backups != NULL) {
    backup_finish(connection->backups);
  }
  while (connection->blobs != NULL) {
    blob_close(connection->blobs);
  }
  /* Only ours: virtual tables finalize what they have prepared on the connection. */
  while (connection->statements != NULL) {
    statement_finalize(connection->statements);
  }
  connection->api->close_v2(connection->db);
  connection->db = NULL;
  guard_release(connection);
  callback_release(connection);
  changes_release(connection);
  connection->control.words = NULL;
  staging_free(&connection->staging);
}

void connection_release(Connection *connection) {
  connection->references--;
  if (connection->references == 0) free(connection);
}
