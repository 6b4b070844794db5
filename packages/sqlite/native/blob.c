/*
 * Blob: reads and writes parts of one value. SQLite's own handle is open only while nothing else runs on the connection:
 * one for writing would hold back the commits of others outside a transaction, and fail the COMMIT of one; one for reading
 * would keep others on an old snapshot. In between it is put aside, and opened again when it is used.
 */
#include "pump.h"

#include <stdlib.h>
#include <string.h>

struct Blob {
  Connection *connection;
  Blob *previous;
  Blob *next;
  char *schema;
  char *table;
  char *column;
  int64_t rowid;
  int size;
  /* NULL: put aside. */
  sqlite3_blob *handle;
  /* Of the handle that is open now. */
  bool writable;
  /* What it was opened for. */
  bool forWriting;
  /* The row was changed since it was opened, or there was none: good for nothing but another row. */
  bool expired;
  bool closed;
};

static int put_aside(Blob *blob) {
  if (blob->handle == NULL) return SQLITE_OK;
  int code = blob->connection->api->blob_close(blob->handle);
  blob->handle = NULL;
  return connection_code(blob->connection, code);
}

/* Opens SQLite's handle where there is none that can do that. */
static int take_up(Blob *blob, bool write) {
  Connection *connection = blob->connection;
  const Api *api = connection->api;
  if (blob->handle != NULL && (blob->writable || !write)) return SQLITE_OK;
  put_aside(blob);
  int code = api->blob_open(connection->db, blob->schema, blob->table, blob->column, blob->rowid, write, &blob->handle);
  if (code != SQLITE_OK) blob->handle = NULL;
  blob->writable = write;
  return connection_code(connection, code);
}

/* Ends a use. What was written outside a transaction is committed by that. */
static int rest(Blob *blob, bool keep) {
  bool alone = blob->connection->api->get_autocommit(blob->connection->db) != 0;
  return alone && (blob->writable || !keep) ? put_aside(blob) : SQLITE_OK;
}

/* The first opening, and that of another row. */
static int begin(Blob *blob) {
  Connection *connection = blob->connection;
  connection->control.why = WHY_NONE;
  blob->expired = true;
  int code = take_up(blob, blob->writable);
  if (code != SQLITE_OK) return code;
  blob->size = connection->api->blob_bytes(blob->handle);
  code = rest(blob, false);
  blob->expired = code != SQLITE_OK;
  return code;
}

/* Before a use: SQLITE_ABORT, as SQLite has it, when the row is not what it was. */
static int resume(Blob *blob, bool write) {
  const Api *api = blob->connection->api;
  blob->connection->control.why = WHY_NONE;
  if (blob->expired) return SQLITE_ABORT;
  int code = take_up(blob, write);
  bool gone = (code & 0xff) == SQLITE_ERROR || (code == SQLITE_OK && api->blob_bytes(blob->handle) != blob->size);
  if (!gone) return code;
  blob->expired = true;
  put_aside(blob);
  return SQLITE_ABORT;
}

static int finish(Blob *blob, int code, bool keep) {
  if ((code & 0xff) == SQLITE_ABORT) blob->expired = true;
  code = connection_code(blob->connection, code);
  int last = rest(blob, keep && code == SQLITE_OK);
  return code != SQLITE_OK ? code : last;
}

/* Only the case can differ. */
static void respell(char *name, const char *spelling) {
  if (spelling != NULL && strlen(spelling) == strlen(name)) strcpy(name, spelling);
}

/* Names are found in any case; changes are told with the names as the schema has them. */
static void spell(Blob *blob) {
  Connection *connection = blob->connection;
  const Api *api = connection->api;
  /* Carriers' SQLite is built with both (SQLITE_ENABLE_COLUMN_METADATA). */
  if (api->column_table_name == NULL || api->column_database_name == NULL) return;
  char *text = api->mprintf("SELECT \"%w\" FROM \"%w\".\"%w\"", blob->column, blob->schema, blob->table);
  sqlite3_stmt *stmt = NULL;
  connection->own = true;
  connection->control.shielded++;
  if (text != NULL && api->prepare_v2(connection->db, text, -1, &stmt, NULL) == SQLITE_OK) {
    respell(blob->schema, api->column_database_name(stmt, 0));
    respell(blob->table, api->column_table_name(stmt, 0));
  }
  api->finalize(stmt);
  connection->control.shielded--;
  connection->own = false;
  api->free(text);
}

Blob *blob_open(Connection *connection, const char *schema, const char *table, const char *column, int64_t rowid,
                bool write, int *code) {
  Blob *blob = calloc(1, sizeof *blob);
  if (blob == NULL) {
    *code = SQLITE_NOMEM;
    return NULL;
  }
  blob->connection = connection;
  connection->references++;
  blob->next = connection->blobs;
  if (blob->next != NULL) blob->next->previous = blob;
  connection->blobs = blob;
  blob->schema = text_copy(schema);
  blob->table = text_copy(table);
  blob->column = text_copy(column);
  blob->rowid = rowid;
  blob->writable = write;
  blob->forWriting = write;
  bool whole = blob->schema != NULL && blob->table != NULL && blob->column != NULL;
  *code = whole ? begin(blob) : SQLITE_NOMEM;
  if (*code != SQLITE_OK) {
    blob_release(blob);
    return NULL;
  }
  if (write) spell(blob);
  callback_refresh(connection, HOOK_UPDATE);
  return blob;
}

int blob_reopen(Blob *blob, int64_t rowid) {
  put_aside(blob);
  blob->rowid = rowid;
  return begin(blob);
}

int blob_size(const Blob *blob) {
  return blob->size;
}

int blob_read(Blob *blob, void *out, int length, int offset, bool keep) {
  int code = resume(blob, false);
  return finish(blob, code != SQLITE_OK ? code : blob->connection->api->blob_read(blob->handle, out, length, offset),
                keep);
}

int blob_write(Blob *blob, const void *bytes, int length, int offset) {
  Connection *connection = blob->connection;
  int code = resume(blob, blob->forWriting);
  if (code == SQLITE_OK && !blob->forWriting) code = SQLITE_READONLY;
  if (code == SQLITE_OK) code = connection->api->blob_write(blob->handle, bytes, length, offset);
  code = finish(blob, code, true);
  if (code == SQLITE_OK && connection->changes != NULL) {
    changes_add(connection->changes, SQLITE_UPDATE, blob->schema, blob->table, blob->rowid);
    changes_settle(connection);
  }
  return code;
}

Connection *blob_connection(const Blob *blob) {
  return blob->connection;
}

bool blob_is_closed(const Blob *blob) {
  return blob->closed;
}

void blob_close(Blob *blob) {
  if (blob->closed) return;
  Connection *connection = blob->connection;
  put_aside(blob);
  blob->closed = true;
  if (blob->previous != NULL) {
    blob->previous->next = blob->next;
  } else {
    connection->blobs = blob->next;
  }
  if (blob->next != NULL) blob->next->previous = blob->previous;
  free(blob->schema);
  free(blob->table);
  free(blob->column);
  if (connection->blobs == NULL) callback_refresh(connection, HOOK_UPDATE);
}

void blob_release(Blob *blob) {
  Connection *connection = blob->connection;
  blob_close(blob);
  free(blob);
  connection_release(connection);
}

void blobs_put_aside(Connection *connection) {
  for (Blob *blob = connection->blobs; blob != NULL; blob = blob->next) put_aside(blob);
}

void blobs_replaced(Connection *connection, const char *database) {
  for (Blob *blob = connection->blobs; blob != NULL; blob = blob->next) {
    if (connection->api->stricmp(blob->schema, database) == 0) blob->expired = true;
  }
}

void blobs_changed(Connection *connection, const char *database, const char *table, int64_t rowid) {
  const Api *api = connection->api;
  for (Blob *blob = connection->blobs; blob != NULL; blob = blob->next) {
    if (blob->rowid == rowid && api->stricmp(blob->table, table) == 0 && api->stricmp(blob->schema, database) == 0) {
      blob->expired = true;
    }
  }
}
