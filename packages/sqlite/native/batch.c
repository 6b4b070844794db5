/* Batch: one statement, many rows of parameters, all or nothing. */
#include "pump.h"

#include <string.h>

/* Nobody else names a savepoint so. */
#define SAVEPOINT "\"sluice batch \x7f\""

typedef enum Wrap { WRAP_NOTHING, WRAP_TRANSACTION, WRAP_SAVEPOINT } Wrap;

typedef struct Run {
  Statement *statement;
  Wrap wrap;
  int code;
  /* SQLite's message for the code, copied where the page will take it from. */
  char message[1024];
  int32_t failedRow;
  double changes;
  /* Of the changes that listeners hear of. */
  size_t mark;
} Run;

static int execute(Connection *connection, const char *sql) {
  connection->brief = true;
  int code = connection->api->exec(connection->db, sql, NULL, NULL, NULL);
  connection->brief = false;
  return code;
}

static void fail(Run *run, int code, int64_t row) {
  Connection *connection = run->statement->connection;
  run->code = connection_code(connection, code);
  run->failedRow = (int32_t)row;
  const char *message = connection_message(connection, run->code);
  size_t length = strlen(message);
  if (length >= sizeof run->message) length = sizeof run->message - 1;
  memcpy(run->message, message, length);
  run->message[length] = '\0';
}

static bool begin(Run *run) {
  Statement *statement = run->statement;
  Connection *connection = statement->connection;
  if (statement->readonly) return true;
  bool alone = connection->api->get_autocommit(connection->db) != 0;
  int code = execute(connection, alone ? "BEGIN IMMEDIATE" : "SAVEPOINT " SAVEPOINT);
  if (code != SQLITE_OK) {
    fail(run, code, -1);
    return false;
  }
  run->wrap = alone ? WRAP_TRANSACTION : WRAP_SAVEPOINT;
  run->mark = changes_mark(connection->changes);
  return true;
}

/* SQLite ends a transaction by itself on some failures and on a stopped write. */
static void undo(Run *run) {
  Connection *connection = run->statement->connection;
  run->changes = 0;
  if (run->wrap == WRAP_NOTHING || connection->api->get_autocommit(connection->db)) return;
  if (run->wrap == WRAP_TRANSACTION) {
    connection_tidy(connection, "ROLLBACK");
  } else {
    connection_tidy(connection, "ROLLBACK TO " SAVEPOINT);
    changes_undo(connection->changes, run->mark);
    connection_tidy(connection, "RELEASE " SAVEPOINT);
  }
}

static void finish(Run *run) {
  Connection *connection = run->statement->connection;
  if (run->code == SQLITE_OK && run->wrap != WRAP_NOTHING) {
    int code = execute(connection, run->wrap == WRAP_TRANSACTION ? "COMMIT" : "RELEASE " SAVEPOINT);
    if (code != SQLITE_OK) fail(run, code, -1);
  }
  if (run->code != SQLITE_OK) undo(run);
  changes_settle(connection);
}

static void run_rows(Run *run, const uint8_t *at, const uint8_t *end, int parameters, int64_t rows) {
  Statement *statement = run->statement;
  Connection *connection = statement->connection;
  const Api *api = connection->api;
  for (int64_t row = 0; row < rows && run->code == SQLITE_OK; row++) {
    if (control_check(&connection->control) != WHY_NONE) {
      fail(run, SQLITE_INTERRUPT, row);
      break;
    }
    int code = parameters_bind(statement, &at, end, parameters, false);
    if (code == SQLITE_OK) code = statement_run(statement);
    if (code != SQLITE_DONE) fail(run, code, row);
    api->reset(statement->stmt);
    changes_end(statement, code != SQLITE_DONE);
    statement->running = false;
    if (connection_total_changes(connection) != statement->changesBefore) {
      run->changes += (double)connection_changes(connection);
    }
  }
  statement_reset(statement);
}

int64_t statement_batch(Statement *statement, const uint8_t *bytes, size_t length, int parameters, int64_t rows,
                        uint8_t *out, size_t capacity) {
  Connection *connection = statement->connection;
  uint64_t began = uv_hrtime();
  connection->control.why = WHY_NONE;
  statement_reset(statement);
  Run run = {.statement = statement, .failedRow = -1};
  if (begin(&run)) {
    run_rows(&run, bytes, bytes + length, parameters, rows);
    finish(&run);
  }
  Header header = {
      .flags = connection_flags(connection) | FLAG_DONE,
      .code = run.code,
      .why = run.code == SQLITE_OK ? WHY_NONE : (uint32_t)connection->control.why,
      .detail = run.failedRow,
      .changes = statement->readonly ? -1 : run.changes,
      .lastInsertRowid = connection->api->last_insert_rowid(connection->db),
  };
  if (statement->readonly) header.flags |= FLAG_READONLY;
  if (statement_routable(statement)) header.flags |= FLAG_ROUTABLE;
  if (run.code != SQLITE_OK && capacity >= HEADER_BYTES + 8) {
    size_t room = (capacity & ~(size_t)7) - HEADER_BYTES - 4;
    header.message = run.message;
    header.messageBytes = strlen(run.message);
    if (header.messageBytes > room) header.messageBytes = room;
  }
  header.engineNanos = (double)(uv_hrtime() - began);
  return (int64_t)page_write(&connection->staging, &header, out);
}
