/* Statement: prepares, runs and fetches; a row or an end that found no room in a page is held for the next one. */
#include "pump.h"

#include <stdlib.h>
#include <string.h>

/* Rows between two looks at the control words (the progress handler looks more often when rows are costly). */
enum { ROWS_PER_LOOK = 64, FIRST_ROWS = 64 };

/* ---- prepare ---- */

static size_t block_bytes(const char *text) {
  return 4 + (text == NULL ? 0 : strlen(text));
}

static uint8_t *block_write(uint8_t *out, const char *text) {
  uint32_t length = text == NULL ? UINT32_MAX : (uint32_t)strlen(text);
  memcpy(out, &length, 4);
  if (text == NULL) return out + 4;
  memcpy(out + 4, text, length);
  return out + 4 + length;
}

bool statement_refresh(Statement *statement) {
  const Api *api = statement->connection->api;
  sqlite3_stmt *stmt = statement->stmt;
  int columns = api->column_count(stmt);
  size_t size = 0;
  for (int i = 0; i < columns; i++) {
    const char *name = api->column_name(stmt, i);
    if (name == NULL) return false;
    size += block_bytes(name) + block_bytes(api->column_decltype(stmt, i));
  }
  uint8_t *names = malloc(size + 1);
  if (names == NULL) return false;
  uint8_t *at = names;
  for (int i = 0; i < columns; i++) {
    at = block_write(at, api->column_name(stmt, i));
    at = block_write(at, api->column_decltype(stmt, i));
  }
  bool same = statement->names != NULL && statement->namesBytes == size && memcmp(statement->names, names, size) == 0;
  if (!same) statement->namesDue = true;
  free(statement->names);
  statement->names = names;
  statement->namesBytes = size;
  statement->columns = columns;
  return true;
}

/* SQLite wants lengths as int; no library takes texts near that. */
static int prepare_first(Connection *connection, const char *text, size_t length, sqlite3_stmt **stmt,
                         const char **tail, Actions *actions) {
  if (length >= INT32_MAX) return SQLITE_TOOBIG;
  const Api *api = connection->api;
  const char *end = text + length;
  int code = SQLITE_OK;
  *stmt = NULL;
  *tail = text;
  /* What is no statement (only a semicolon, only a comment) is prepared as nothing: go on behind it. */
  while (code == SQLITE_OK && *stmt == NULL) {
    const char *from = *tail;
    if (text_skip(from, end) == end) return SQLITE_OK;
    actions_clear(actions);
    connection->recording = actions;
    code = api->prepare_v3(connection->db, from, (int)(end - from) + 1, SQLITE_PREPARE_PERSISTENT, stmt, tail);
    connection->recording = NULL;
    if (*tail == NULL || *tail <= from) break;
  }
  return code;
}

Statement *statement_prepare(Connection *connection, const char *text, size_t length, const char **tail, int *code) {
  const Api *api = connection->api;
  Actions actions = {0};
  sqlite3_stmt *stmt = NULL;
  connection->control.why = WHY_NONE;
  connection_refresh_schemas(connection);
  *code = connection_code(connection, prepare_first(connection, text, length, &stmt, tail, &actions));
  if (actions.timing) control_adopt_timeout(connection);
  if (*code != SQLITE_OK || stmt == NULL) {
    actions_clear(&actions);
    return NULL;
  }
  Statement *statement = calloc(1, sizeof *statement);
  if (statement == NULL) {
    actions_clear(&actions);
    api->finalize(stmt);
    *code = SQLITE_NOMEM;
    return NULL;
  }
  statement->connection = connection;
  statement->stmt = stmt;
  statement->actions = actions;
  statement->readonly = api->stmt_readonly(stmt) != 0;
  statement->explain = api->stmt_isexplain(stmt) != 0;
  statement->next = connection->statements;
  if (statement->next != NULL) statement->next->previous = statement;
  connection->statements = statement;
  connection->references++;
  if (!statement_refresh(statement)) {
    statement_release(statement);
    *code = SQLITE_NOMEM;
    return NULL;
  }
  *tail = text_skip(*tail, text + length);
  return statement;
}

/* A connection with temporary objects has names that others do not know, or know as something else. */
bool statement_routable(const Statement *statement) {
  return statement->readonly && !statement->explain && statement->columns > 0 && !statement->actions.bound &&
         !statement->connection->secluded;
}

/* ---- run ---- */

int statement_start(Statement *statement) {
  Connection *connection = statement->connection;
  const Api *api = connection->api;
  if (statement->actions.secluding) connection->secluded = true;
  blobs_put_aside(connection);
  connection_refresh_schemas(connection);
  statement->running = true;
  statement->changesBefore = connection_total_changes(connection);
  /* When the schema has changed, SQLite prepares the statement again within this step: hear that, too. */
  changes_begin(statement);
  Actions again = {0};
  connection->recording = &again;
  int code = connection_step(connection, statement->stmt);
  connection->recording = NULL;
  if (again.timing) control_adopt_timeout(connection);
  int reprepared = api->stmt_status(statement->stmt, SQLITE_STMTSTATUS_REPREPARE, 0);
  if (reprepared != statement->reprepared) {
    statement->reprepared = reprepared;
    again.secluding = statement->actions.secluding;
    actions_clear(&statement->actions);
    statement->actions = again;
    if (!statement_refresh(statement)) return SQLITE_NOMEM;
  } else {
    actions_clear(&again);
  }
  return code;
}

int statement_run(Statement *statement) {
  int code = statement_start(statement);
  while (code == SQLITE_ROW) {
    code = connection_step(statement->connection, statement->stmt);
  }
  return code;
}

void statement_end(Statement *statement, int code) {
  Connection *connection = statement->connection;
  const Api *api = connection->api;
  free(statement->message);
  statement->message = NULL;
  statement->code = SQLITE_OK;
  statement->why = WHY_NONE;
  if (code != SQLITE_DONE && code != SQLITE_OK) {
    statement->why = connection->control.why;
    statement->code = connection_code(connection, code);
    statement->message = text_copy(connection_message(connection, statement->code));
  }
  api->reset(statement->stmt);
  statement->changes = -1;
  if (!statement->readonly) {
    bool changed = statement->running && connection_total_changes(connection) != statement->changesBefore;
    statement->changes = changed ? (double)connection_changes(connection) : 0;
  }
  if (statement->running) changes_end(statement, statement->code != SQLITE_OK);
  statement->running = false;
  statement->held = HELD_END;
}

static void advance(Statement *statement) {
  int code = statement->running ? connection_step(statement->connection, statement->stmt) : statement_start(statement);
  if (code == SQLITE_ROW) {
    statement->held = HELD_ROW;
  } else {
    statement_end(statement, code);
  }
}

/* Ends the run because the control words said so. */
static void stop(Statement *statement) {
  /* A reset would commit what a statement with RETURNING has written; stopped inside SQLite it is undone. */
  if (statement->running && !statement->readonly) {
    int code = control_step_to_stop(statement->connection, statement->stmt);
    if (code == SQLITE_DONE) {
      statement_end(statement, code);
      return;
    }
  }
  statement_end(statement, SQLITE_INTERRUPT);
}

/* Takes the run one step on, or ends it when the control words say so. */
static void proceed(Statement *statement, bool look) {
  if (look && control_check(&statement->connection->control) != WHY_NONE) {
    stop(statement);
  } else {
    advance(statement);
  }
}

/* ---- fetch ---- */

typedef struct Fill {
  Statement *statement;
  Staging *staging;
  size_t rows;
  size_t maxRows;
  size_t capacity;
  /* Bytes of texts and blobs staged. */
  size_t bytes;
  /* What the very next row needs when it is alone and still finds no room. */
  size_t needed;
} Fill;

/* Whether the row just read fits: by a bound that is quick to tell, else exactly. */
static bool fits(Fill *fill, size_t rowBytes) {
  Statement *statement = fill->statement;
  size_t columns = (size_t)statement->columns;
  size_t names = statement->namesDue ? statement->namesBytes + 16 : 8;
  size_t bound = HEADER_BYTES + columns * (16 + 8 + 9 * (fill->rows + 1)) + fill->bytes + rowBytes + names;
  if (bound <= fill->capacity) return true;
  Header header = {.flags = statement->namesDue ? FLAG_COLUMNS : 0, .namesBytes = statement->namesBytes};
  size_t size = page_size(&header, staging_size(fill->staging, statement->columns, fill->rows + 1, true));
  if (size <= fill->capacity) return true;
  if (fill->rows == 0) fill->needed = size;
  return false;
}

/* Adds the held row to the page. False: the page is complete, with or without it. */
static bool take(Fill *fill) {
  Statement *statement = fill->statement;
  Staging *staging = fill->staging;
  int columns = statement->columns;
  if (fill->rows == staging->rows && !staging_grow(staging, columns, staging->rows * 2)) {
    statement_end(statement, SQLITE_NOMEM);
    return false;
  }
  size_t bytes = staging_read(staging, statement->connection->api, statement->stmt, columns, fill->rows);
  if (bytes == ROW_FAILED) {
    statement_end(statement, SQLITE_NOMEM);
    return false;
  }
  bool large = bytes > LARGE_ROW_BYTES;
  if (large && fill->rows > 0) return false;
  if (!fits(fill, bytes)) {
    /* Offsets in a page have 32 bits. */
    if (fill->needed > UINT32_MAX) {
      fill->needed = 0;
      statement_end(statement, SQLITE_TOOBIG);
    }
    return false;
  }
  if (large) {
    staging_lend(staging, columns);
  } else if (!staging_add(staging, columns, fill->rows)) {
    statement_end(statement, SQLITE_NOMEM);
    return false;
  }
  fill->bytes += bytes;
  fill->rows++;
  statement->held = HELD_NOTHING;
  return !large;
}

/* Writes the page; -n when it needs n bytes and there are fewer. */
static int64_t emit(Fill *fill, uint8_t *out, uint64_t began) {
  Statement *statement = fill->statement;
  Connection *connection = statement->connection;
  Header header = {
      .rows = (uint32_t)fill->rows,
      .flags = connection_flags(connection),
      .columns = (uint32_t)statement->columns,
      .detail = -1,
      .changes = statement->readonly ? -1 : 0,
      .lastInsertRowid = connection->api->last_insert_rowid(connection->db),
      .names = statement->names,
      .namesBytes = statement->namesBytes,
  };
  if (statement->namesDue) header.flags |= FLAG_COLUMNS;
  if (statement->readonly) header.flags |= FLAG_READONLY;
  if (statement_routable(statement)) header.flags |= FLAG_ROUTABLE;
  size_t size = staging_size(fill->staging, statement->columns, fill->rows, false);
  bool ended = statement->held == HELD_END;
  if (ended) {
    Header last = header;
    last.flags |= FLAG_DONE;
    last.code = statement->code;
    last.why = (uint32_t)statement->why;
    last.changes = statement->changes;
    if (statement->code != SQLITE_OK) {
      last.message = statement->message != NULL ? statement->message : "out of memory";
      last.messageBytes = strlen(last.message);
    }
    ended = page_size(&last, size) <= fill->capacity;
    /* An error too long to stand behind these rows gets the next page. */
    if (ended || fill->rows == 0) header = last;
  }
  size_t needed = fill->needed > 0 ? fill->needed : page_size(&header, size);
  statement->nanos += uv_hrtime() - began;
  if (needed > fill->capacity) return -(int64_t)needed;
  header.engineNanos = (double)statement->nanos;
  statement->nanos = 0;
  statement->namesDue = false;
  if (ended) statement->held = HELD_NOTHING;
  return (int64_t)page_write(fill->staging, &header, out);
}

int64_t statement_fetch(Statement *statement, int64_t maxRows, uint8_t *out, size_t capacity) {
  Connection *connection = statement->connection;
  uint64_t began = uv_hrtime();
  connection->control.why = WHY_NONE;
  /* The first step may prepare anew and so change the columns: it comes before they are staged. */
  if (statement->held == HELD_NOTHING) {
    proceed(statement, true);
  } else if (statement->held == HELD_ROW && control_check(&connection->control) != WHY_NONE) {
    stop(statement);
  }
  Fill fill = {
      .statement = statement,
      .staging = &connection->staging,
      .maxRows = maxRows > 0 ? (size_t)maxRows : 1,
      .capacity = capacity < UINT32_MAX ? capacity : UINT32_MAX,
  };
  if (!staging_begin(fill.staging, statement->columns, FIRST_ROWS)) {
    statement_reset(statement);
    return 0;
  }
  while (statement->held == HELD_ROW && take(&fill) && fill.rows < fill.maxRows) {
    proceed(statement, fill.rows % ROWS_PER_LOOK == 0);
  }
  return emit(&fill, out, began);
}

/* ---- end of life ---- */

void statement_reset(Statement *statement) {
  const Api *api = statement->connection->api;
  api->reset(statement->stmt);
  api->clear_bindings(statement->stmt);
  if (statement->running) changes_end(statement, false);
  statement->running = false;
  statement->held = HELD_NOTHING;
  statement->nanos = 0;
}

void statement_finalize(Statement *statement) {
  if (statement->stmt == NULL) return;
  Connection *connection = statement->connection;
  connection->api->finalize(statement->stmt);
  statement->stmt = NULL;
  actions_clear(&statement->actions);
  if (statement->previous != NULL) {
    statement->previous->next = statement->next;
  } else {
    connection->statements = statement->next;
  }
  if (statement->next != NULL) statement->next->previous = statement->previous;
  free(statement->names);
  free(statement->message);
  statement->names = NULL;
  statement->message = NULL;
}

void statement_release(Statement *statement) {
  Connection *connection = statement->connection;
  statement_finalize(statement);
  free(statement);
  connection_release(connection);
}
