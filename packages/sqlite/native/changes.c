/* Changes: which rows the transactions of a connection have changed, told once they are committed. */
#include "pump.h"

#include <stdlib.h>
#include <string.h>

/* Rows that are told one by one until they are taken; of what goes beyond only the number per table is kept. 1 MiB. */
enum { MOST_ENTRIES = 65536 };

typedef struct Entry {
  int32_t table;
  /* SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE; 0: rows that are not told one by one, `rowid` of them, or -1. */
  int32_t operation;
  int64_t rowid;
} Entry;

typedef struct Savepoint {
  char *name;
  size_t mark;
} Savepoint;

struct Changes {
  Entry *entries;
  size_t length;
  size_t capacity;
  /* Those before this one are committed. */
  size_t committed;
  /* Where the writing statement that runs began. One runs at a time. */
  size_t statement;
  int64_t heardBefore;
  /* Rows ever heard of. */
  int64_t heard;
  /* Database and table, by turns. */
  char **names;
  int tables;
  Savepoint *savepoints;
  size_t depth;
  /* A transaction that had begun before anybody listened is open, or memory was short: its end tells of no rows. */
  bool partial;
  /* What was committed is not all in the entries. */
  bool unknown;
};

/* ---- tables ---- */

static bool is_table(const Changes *changes, int index, const char *database, const char *table) {
  return strcmp(changes->names[2 * index + 1], table) == 0 && strcmp(changes->names[2 * index], database) == 0;
}

int changes_table(Changes *changes, const char *database, const char *table) {
  /* From the end: the table that was named last is the likeliest. */
  for (int i = changes->tables - 1; i >= 0; i--) {
    if (is_table(changes, i, database, table)) return i;
  }
  char **names = realloc(changes->names, (size_t)(changes->tables + 1) * 2 * sizeof *names);
  if (names == NULL) return -1;
  changes->names = names;
  names += 2 * changes->tables;
  names[0] = text_copy(database);
  names[1] = text_copy(table);
  if (names[0] != NULL && names[1] != NULL) return changes->tables++;
  free(names[0]);
  free(names[1]);
  return -1;
}

/* ---- entries ---- */

static bool append(Changes *changes, Entry entry) {
  if (changes->length == changes->capacity) {
    size_t capacity = changes->capacity == 0 ? 64 : changes->capacity * 2;
    Entry *entries = realloc(changes->entries, capacity * sizeof *entries);
    if (entries == NULL) return false;
    changes->entries = entries;
    changes->capacity = capacity;
  }
  changes->entries[changes->length++] = entry;
  return true;
}

/* Adds rows that are not told one by one to the table's number of them, not looking below `from`. */
static void append_uncounted(Changes *changes, size_t from, int table, int64_t rows) {
  for (size_t i = changes->length; i > from && changes->entries[i - 1].operation == 0; i--) {
    Entry *entry = &changes->entries[i - 1];
    if (entry->table != table) continue;
    entry->rowid = rows < 0 || entry->rowid < 0 ? -1 : entry->rowid + rows;
    return;
  }
  if (!append(changes, (Entry){table, 0, rows})) changes->partial = true;
}

void changes_add(Changes *changes, int operation, const char *database, const char *table, int64_t rowid) {
  changes->heard++;
  int index = changes_table(changes, database, table);
  if (index < 0) {
    changes->partial = true;
  } else if (changes->length >= MOST_ENTRIES) {
    append_uncounted(changes, changes->statement, index, 1);
  } else if (!append(changes, (Entry){index, operation, rowid})) {
    changes->partial = true;
  }
}

/* Beyond the limit a table has one entry per savepoint, not per statement. */
static void merge(Changes *changes) {
  if (changes->length <= MOST_ENTRIES) return;
  size_t floor = changes->depth > 0 ? changes->savepoints[changes->depth - 1].mark : changes->committed;
  size_t from = changes->length;
  while (from > changes->statement && changes->entries[from - 1].operation == 0) from--;
  size_t end = changes->length;
  changes->length = from;
  /* What is added never gets past what is read. */
  for (size_t i = from; i < end; i++) {
    Entry entry = changes->entries[i];
    append_uncounted(changes, floor, entry.table, entry.rowid);
  }
}

/* ---- what is undone, and what stays ---- */

size_t changes_mark(const Changes *changes) {
  return changes == NULL ? 0 : changes->length;
}

void changes_undo(Changes *changes, size_t mark) {
  if (changes != NULL && mark < changes->length) changes->length = mark;
}

static void forget_savepoints(Changes *changes, size_t depth) {
  while (changes->depth > depth) {
    changes->depth--;
    free(changes->savepoints[changes->depth].name);
  }
}

void changes_rolled_back(Changes *changes) {
  changes->length = changes->committed;
  changes->statement = changes->committed;
  changes->partial = false;
  forget_savepoints(changes, 0);
}

void changes_replaced(Connection *connection) {
  if (connection->changes != NULL) connection->changes->unknown = true;
}

void changes_settle(Connection *connection) {
  Changes *changes = connection->changes;
  if (changes == NULL || !connection->api->get_autocommit(connection->db)) return;
  changes->committed = changes->length;
  changes->unknown = changes->unknown || changes->partial;
  changes->partial = false;
  forget_savepoints(changes, 0);
}

/* The innermost savepoint of a name, counted from 1; 0: it was made before anybody listened. */
static size_t find(const Changes *changes, const Api *api, const char *name) {
  size_t depth = changes->depth;
  while (depth > 0 && api->stricmp(changes->savepoints[depth - 1].name, name) != 0) depth--;
  return depth;
}

static void push(Changes *changes, const char *name) {
  Savepoint *savepoints = realloc(changes->savepoints, (changes->depth + 1) * sizeof *savepoints);
  char *copy = text_copy(name);
  if (savepoints != NULL) changes->savepoints = savepoints;
  if (savepoints == NULL || copy == NULL) {
    free(copy);
    changes->partial = true;
    return;
  }
  savepoints[changes->depth++] = (Savepoint){copy, changes->length};
}

static void follow(Changes *changes, const Api *api, const Actions *actions) {
  size_t depth = find(changes, api, actions->name);
  switch (actions->savepoint) {
    case SAVEPOINT_BEGIN:
      push(changes, actions->name);
      break;
    case SAVEPOINT_RELEASE:
      forget_savepoints(changes, depth > 0 ? depth - 1 : 0);
      break;
    case SAVEPOINT_ROLLBACK:
      changes_undo(changes, depth > 0 ? changes->savepoints[depth - 1].mark : changes->committed);
      forget_savepoints(changes, depth);
      break;
    default:
      break;
  }
}

/* Rows that SQLite counts but tells nobody of: of virtual tables and of those without rowids. */
static void add_untold(Changes *changes, const Actions *actions, int64_t rows) {
  if (rows <= 0) return;
  for (int i = 0; i < actions->written; i++) {
    bool told = false;
    for (size_t j = changes->statement; j < changes->length && !told; j++) {
      told = changes->entries[j].table == actions->tables[i];
    }
    if (!told) append_uncounted(changes, changes->statement, actions->tables[i], actions->written == 1 ? rows : -1);
  }
  if (actions->writesMore) changes->partial = true;
}

void changes_begin(Statement *statement) {
  Changes *changes = statement->connection->changes;
  if (changes == NULL || statement->readonly) return;
  changes->statement = changes->length;
  changes->heardBefore = changes->heard;
}

void changes_end(Statement *statement, bool failed) {
  Connection *connection = statement->connection;
  Changes *changes = connection->changes;
  if (changes == NULL) return;
  if (failed) {
    /* Only OR FAIL and RAISE(FAIL) keep what a statement that fails has done, and then SQLite counts it. */
    if (!statement->readonly && connection_changes(connection) == 0) changes_undo(changes, changes->statement);
  } else if (statement->actions.savepoint != SAVEPOINT_NONE) {
    follow(changes, connection->api, &statement->actions);
  } else if (!statement->readonly) {
    int64_t counted = connection_total_changes(connection) - statement->changesBefore;
    int64_t heard = changes->heard - changes->heardBefore;
    /* A virtual table writes to tables of its own, and not all of that is told: SQLite's count of the statement alone is of
       its rows. */
    bool alone = heard > 0 && statement->actions.written == 1 && !statement->actions.writesMore;
    add_untold(changes, &statement->actions, alone ? connection_changes(connection) : counted - heard);
    merge(changes);
  }
  changes_settle(connection);
}

/* ---- listening ---- */

static void clear(Changes *changes) {
  forget_savepoints(changes, 0);
  for (int i = 0; i < 2 * changes->tables; i++) free(changes->names[i]);
  free(changes->names);
  free(changes->savepoints);
  free(changes->entries);
  free(changes);
}

bool changes_listen(Connection *connection, bool on) {
  if (on == (connection->changes != NULL)) return true;
  if (on) {
    connection->changes = calloc(1, sizeof *connection->changes);
    if (connection->changes == NULL) return false;
    connection->changes->partial = !connection->api->get_autocommit(connection->db);
    /* Statements that are prepared are to be prepared again: what they write was not noted. */
    actions_install(connection);
  } else {
    clear(connection->changes);
    connection->changes = NULL;
  }
  callback_refresh(connection, HOOK_UPDATE);
  callback_refresh(connection, HOOK_ROLLBACK);
  return true;
}

void changes_release(Connection *connection) {
  if (connection->changes != NULL) clear(connection->changes);
  connection->changes = NULL;
}

bool changes_pending(const Connection *connection) {
  const Changes *changes = connection->changes;
  return changes != NULL && (changes->committed > 0 || changes->unknown);
}

const void *changes_committed(const Changes *changes, size_t *bytes, bool *unknown) {
  *bytes = changes->committed * sizeof(Entry);
  *unknown = changes->unknown;
  return changes->entries;
}

const char *changes_name(const Changes *changes, int index) {
  return index < 2 * changes->tables ? changes->names[index] : NULL;
}

void changes_taken(Changes *changes) {
  size_t taken = changes->committed;
  if (taken > 0) memmove(changes->entries, changes->entries + taken, (changes->length - taken) * sizeof(Entry));
  changes->length -= taken;
  changes->statement = changes->statement > taken ? changes->statement - taken : 0;
  for (size_t i = 0; i < changes->depth; i++) changes->savepoints[i].mark -= taken;
  changes->committed = 0;
  changes->unknown = false;
}
