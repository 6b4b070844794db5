/* Backup: copies a connection's main database into a file, some pages at a time. */
#include "pump.h"

#include <stdlib.h>

Backup *backup_start(Connection *connection, const char *destination, int *code, char **message) {
  const Api *api = connection->api;
  Backup *backup = calloc(1, sizeof *backup);
  if (backup == NULL) {
    *code = SQLITE_NOMEM;
    return NULL;
  }
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
  *code = api->open_v2(destination, &backup->destination, flags, NULL);
  if (*code == SQLITE_OK) {
    api->extended_result_codes(backup->destination, 1);
    backup->backup = api->backup_init(backup->destination, "main", connection->db, "main");
  }
  if (backup->backup == NULL) {
    *code = SQLITE_NOMEM;
    if (backup->destination != NULL) {
      *code = api->extended_errcode(backup->destination);
      *message = text_copy(api->errmsg(backup->destination));
      api->close_v2(backup->destination);
    }
    free(backup);
    return NULL;
  }
  backup->connection = connection;
  backup->next = connection->backups;
  if (backup->next != NULL) backup->next->previous = backup;
  connection->backups = backup;
  connection->references++;
  return backup;
}

int backup_step(Backup *backup, int pages) {
  Connection *connection = backup->connection;
  connection->control.why = WHY_NONE;
  return connection_code(connection, connection->api->backup_step(backup->backup, pages));
}

void backup_finish(Backup *backup) {
  if (backup->backup == NULL) return;
  Connection *connection = backup->connection;
  connection->api->backup_finish(backup->backup);
  connection->api->close_v2(backup->destination);
  backup->backup = NULL;
  backup->destination = NULL;
  if (backup->previous != NULL) {
    backup->previous->next = backup->next;
  } else {
    connection->backups = backup->next;
  }
  if (backup->next != NULL) backup->next->previous = backup->previous;
}

void backup_release(Backup *backup) {
  Connection *connection = backup->connection;
  backup_finish(backup);
  free(backup);
  connection_release(connection);
}
