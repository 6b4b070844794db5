/* Actions: the authorizer, which notes what a statement does while SQLite prepares it. */
#include "pump.h"

#include <stdlib.h>
#include <string.h>

/* Functions whose answer depends on the connection that asks. */
static const char *const boundFunctions[] = {"last_insert_rowid", "changes", "total_changes", "load_extension"};

static bool same(const Api *api, const char *a, const char *b) {
  return a != NULL && api->stricmp(a, b) == 0;
}

static bool is_bound_function(const Api *api, const char *name) {
  for (size_t i = 0; i < sizeof boundFunctions / sizeof boundFunctions[0]; i++) {
    if (same(api, name, boundFunctions[i])) return true;
  }
  return false;
}

/* Subqueries and common table expressions are read without a database's name. */
static bool is_bound_table(const Api *api, const char *table, const char *database) {
  if (database != NULL && database[0] != '\0' && !same(api, database, "main")) return true;
  return table != NULL && api->strnicmp(table, "pragma_", 7) == 0;
}

void actions_clear(Actions *actions) {
  free(actions->name);
  *actions = (Actions){0};
}

static void note_table(Actions *actions, int table) {
  for (int i = 0; i < actions->written; i++) {
    if (actions->tables[i] == table) return;
  }
  if (table < 0 || actions->written == MOST_WRITTEN) {
    actions->writesMore = true;
  } else {
    actions->tables[actions->written++] = table;
  }
}

static void note_savepoint(Actions *actions, const char *operation, const char *name) {
  free(actions->name);
  actions->name = text_copy(name);
  actions->savepoint = actions->name == NULL     ? SAVEPOINT_NONE
                       : operation[0] == 'B'      ? SAVEPOINT_BEGIN
                       : operation[1] == 'E'      ? SAVEPOINT_RELEASE
                                                  : SAVEPOINT_ROLLBACK;
}

/* What a listener to changes has to know of a statement. */
static void note(Connection *connection, Actions *actions, int action, const char *first, const char *second,
                 const char *database) {
  const Api *api = connection->api;
  if (action == SQLITE_SAVEPOINT) {
    note_savepoint(actions, first, second);
  } else if (action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE) {
    if (api->strnicmp(first, "sqlite_", 7) == 0) {
      actions->dropping = actions->dropping || action == SQLITE_DELETE;
    } else {
      note_table(actions, changes_table(connection->changes, database != NULL ? database : "main", first));
    }
  }
}

static bool is_among(const Api *api, const char *name, const char *const *names, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (same(api, name, names[i])) return true;
  }
  return false;
}

#define IS_AMONG(api, name, names) is_among(api, name, names, sizeof names / sizeof names[0])

/* PRAGMAs with which this connection answers to reads otherwise than others (the portable engine's are in split.ts). */
static const char *const answering[] = {"case_sensitive_like", "full_column_names",        "locking_mode",
                                        "read_uncommitted",    "reverse_unordered_selects", "short_column_names",
                                        "trusted_schema",      "writable_schema"};

static void record(const Api *api, Actions *actions, int action, const char *first, const char *second,
                   const char *database) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
      return;
    case SQLITE_READ:
      if (is_bound_table(api, first, database)) actions->bound = true;
      return;
    case SQLITE_FUNCTION:
      if (is_bound_function(api, second)) actions->bound = true;
      return;
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_ATTACH:
      actions->secluding = true;
      break;
    /* "CREATE TABLE temp.x", unlike "CREATE TEMP TABLE x", is told as any other table. */
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE:
      if (same(api, database, "temp")) actions->secluding = true;
      break;
    case SQLITE_PRAGMA:
      if (second != NULL && IS_AMONG(api, first, answering)) actions->secluding = true;
      break;
    default:
      break;
  }
  actions->bound = true;
}

/* PRAGMAs that tell of a table or index, which is their argument, and those that tell of the file and must have none. */
static const char *const describing[] = {"table_info",  "table_xinfo", "index_info",      "index_xinfo",
                                         "index_list",  "table_list",  "foreign_key_list"};
static const char *const telling[] = {"table_list",     "collation_list", "function_list", "module_list",
                                      "pragma_list",    "page_count",     "page_size",     "freelist_count",
                                      "schema_version", "user_version",   "data_version",  "application_id",
                                      "encoding",       "compile_options"};

/* Tables that show what is none of a stranger's business: raw pages with what was deleted, statements of others. */
static const char *const hidden[] = {"sqlite_dbpage", "sqlite_stmt", "bytecode", "tables_used"};

/* Functions that take pointers, write to a log, keep a value of each row in memory, or (json_pretty) make gigabytes of
   indentation before they look at their length. */
static const char *const withheld[] = {"fts3_tokenizer",  "sqlite_log",      "median",     "percentile",
                                       "percentile_cont", "percentile_disc", "json_pretty"};

static bool ends_with(const Api *api, const char *text, const char *end) {
  size_t length = strlen(text);
  size_t tail = strlen(end);
  return length > tail && api->stricmp(text + length - tail, end) == 0;
}

/* An R-Tree prepares its writes when it is opened. Nothing writes here: the connection and the statement only read. */
static bool is_of_rtree(const Api *api, const char *table) {
  return table != NULL &&
         (ends_with(api, table, "_node") || ends_with(api, table, "_parent") || ends_with(api, table, "_rowid"));
}

/* What statements of strangers may do: a list of what is allowed, so that what SQLite learns later is not. */
static bool is_reading(const Api *api, int action, const char *first, const char *second) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
      return true;
    case SQLITE_READ:
      return !IS_AMONG(api, first, hidden);
    case SQLITE_FUNCTION:
      return !IS_AMONG(api, second, withheld);
    case SQLITE_PRAGMA:
      return second == NULL ? IS_AMONG(api, first, telling) : IS_AMONG(api, first, describing);
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
      return is_of_rtree(api, first);
    default:
      return false;
  }
}

static int on_action(void *pointer, int action, const char *first, const char *second, const char *database,
                     const char *trigger) {
  Connection *connection = pointer;
  const Api *api = connection->api;
  Actions *recording = connection->recording;
  if (connection->own) return SQLITE_OK;
  if (recording != NULL) record(api, recording, action, first, second, database);
  if (recording != NULL && connection->changes != NULL) note(connection, recording, action, first, second, database);
  /* Extensions are loaded by the program, never by SQL. */
  if (action == SQLITE_FUNCTION && same(api, second, "load_extension")) return SQLITE_DENY;
  if (connection->restricted && !is_reading(api, action, first, second)) return SQLITE_DENY;
  /* A clean-up is none of the program's statements, and to deny it would leave open what it ends. */
  bool tidying = connection->control.seq == 0 || connection->control.shielded > 0;
  int verdict = tidying ? SQLITE_OK : callback_authorize(connection, action, first, second, database, trigger);
  if (recording != NULL && verdict == SQLITE_OK && action == SQLITE_PRAGMA && second != NULL &&
      same(api, first, "busy_timeout")) {
    recording->timing = true;
  }
  /* To "ignore" a DELETE is to delete row by row, instead of the whole table without a word. A DROP would be left out. */
  bool whole = action == SQLITE_DELETE && recording != NULL && connection->changes != NULL && !recording->dropping;
  return whole && verdict == SQLITE_OK ? SQLITE_IGNORE : verdict;
}

void actions_install(Connection *connection) {
  connection->api->set_authorizer(connection->db, on_action, connection);
}

/* The query flattener and the push-down of WHERE terms, as sqliteInt.h numbers them (SQLITE_QueryFlattener, SQLITE_PushDown).
   Both put a copy of a subquery's expression wherever its column is mentioned, level by level, while nothing can stop the
   statement: twenty subqueries, each of which adds the column of the one below to itself, would make a million copies. */
enum { COPYING_OPTIMIZATIONS = 0x1 | 0x1000 };

bool actions_restrict(Connection *connection) {
  const Api *api = connection->api;
  connection->restricted = true;
  /* Expires what is prepared already. */
  actions_install(connection);
  if (!guard_install(connection)) return false;
  if (api->compileoption_used == NULL || api->compileoption_used("UNTESTABLE")) return false;
  api->test_control(SQLITE_TESTCTRL_OPTIMIZATIONS, connection->db, (unsigned)COPYING_OPTIMIZATIONS);
  return true;
}
