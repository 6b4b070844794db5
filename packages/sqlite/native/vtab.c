/* Table functions: eponymous virtual tables whose rows JavaScript gives, a page of tagged values at a time. */
#include "pump.h"

#include <stdlib.h>
#include <string.h>

/* What the first argument of a table's function says, as `TableOp` in src/internal/boundary.ts has it. */
enum { TABLE_OPEN, TABLE_NEXT, TABLE_CLOSE };

/* A page begins with these: rows in it. None: the end. */
enum { PAGE_HEADER_BYTES = 4 };

/* What a scan is thought to cost without knowing better; tables of the file, which do, go first in a join. */
static const double unknownCost = 10000;
static const sqlite3_int64 unknownRows = 1000;

/* One for each registration; SQLite owns it. The connection has a list of them. */
struct Module {
  Module *previous;
  Module *next;
  /* Without regard to the case of ASCII's letters. */
  char *name;
  /* That are open: SQLite has a statement that is in the middle of it. */
  int scans;
  Callback *callback;
  Connection *connection;
  char *schema;
  int columns;
  int parameters;
};

typedef struct Table {
  sqlite3_vtab base;
  Module *module;
} Table;

typedef struct Scan {
  sqlite3_vtab_cursor base;
  /* Its number on the other side; 0: nothing is open there. */
  double number;
  /* The page that it stands in, its size, the offset behind its current row, and rows left behind that. */
  uint8_t *page;
  size_t size;
  size_t next;
  uint32_t left;
  bool ended;
  sqlite3_int64 rowid;
  /* Where the current row's values begin, by column. */
  size_t *values;
  /* What it was called with, by parameter; NULL: not given. */
  sqlite3_value **arguments;
} Scan;

static Table *table_of(const Scan *scan) {
  return (Table *)scan->base.pVtab;
}

static void module_free(void *pointer) {
  Module *module = pointer;
  if (module == NULL) return;
  if (module->previous != NULL) {
    module->previous->next = module->next;
  } else if (module->connection->modules == module) {
    module->connection->modules = module->next;
  }
  if (module->next != NULL) module->next->previous = module->previous;
  callback_free(module->callback);
  free(module->name);
  free(module->schema);
  free(module);
}

/* ---- the table ---- */

static int on_connect(sqlite3 *db, void *pointer, int argc, const char *const *argv, sqlite3_vtab **vtab,
                      char **message) {
  (void)argc;
  (void)argv;
  Module *module = pointer;
  const Api *api = module->connection->api;
  int code = api->declare_vtab(db, module->schema);
  if (code != SQLITE_OK) {
    *message = api->mprintf("%s", api->errmsg(db));
    return code;
  }
  Table *table = calloc(1, sizeof *table);
  if (table == NULL) return SQLITE_NOMEM;
  table->module = module;
  *vtab = &table->base;
  return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *vtab) {
  free(vtab);
  return SQLITE_OK;
}

/* Equality with a hidden column is an argument: all that there are must be used, or the function would be called without. */
static int on_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
  const Module *module = ((Table *)vtab)->module;
  int given[32];
  int count = 0;
  unsigned unusable = 0;
  for (int i = 0; i < module->parameters; i++) given[i] = -1;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];
    int parameter = constraint->iColumn - module->columns;
    if (parameter < 0 || constraint->op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
    if (!constraint->usable) {
      unusable |= 1u << parameter;
    } else if (given[parameter] < 0) {
      given[parameter] = i;
    }
  }
  info->idxNum = 0;
  for (int parameter = 0; parameter < module->parameters; parameter++) {
    if (given[parameter] < 0) {
      if ((unusable & (1u << parameter)) != 0) return SQLITE_CONSTRAINT;
      continue;
    }
    info->idxNum |= (int)(1u << parameter);
    info->aConstraintUsage[given[parameter]].argvIndex = ++count;
    info->aConstraintUsage[given[parameter]].omit = 1;
  }
  info->estimatedCost = unknownCost;
  info->estimatedRows = unknownRows;
  return SQLITE_OK;
}

/* ---- a scan ---- */

static int on_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **cursor) {
  Module *module = ((Table *)vtab)->module;
  Scan *scan = calloc(1, sizeof *scan);
  if (scan != NULL) {
    scan->values = calloc((size_t)module->columns + 1, sizeof *scan->values);
    scan->arguments = calloc((size_t)module->parameters + 1, sizeof *scan->arguments);
    scan->ended = true;
  }
  if (scan == NULL || scan->values == NULL || scan->arguments == NULL) {
    if (scan != NULL) {
      free(scan->values);
      free(scan->arguments);
    }
    free(scan);
    return SQLITE_NOMEM;
  }
  module->scans++;
  *cursor = &scan->base;
  return SQLITE_OK;
}

static int failed(Scan *scan, char *message) {
  Table *table = table_of(scan);
  const Api *api = table->module->connection->api;
  api->free(table->base.zErrMsg);
  table->base.zErrMsg = api->mprintf("%s", message != NULL ? message : "the table function failed");
  free(message);
  scan->ended = true;
  return SQLITE_ERROR;
}

/* The length of the tagged value at `at`, 0: it does not lie in the page. */
static size_t value_size(const Scan *scan, size_t at) {
  if (at >= scan->size) return 0;
  size_t room = scan->size - at;
  size_t size = 1;
  uint32_t length = 0;
  switch (scan->page[at]) {
    case TAG_NULL:
      break;
    case TAG_INT64:
    case TAG_FLOAT64:
      size = 9;
      break;
    default:
      if (room < 5) return 0;
      memcpy(&length, scan->page + at + 1, sizeof length);
      size = 5 + (size_t)length;
  }
  return size <= room ? size : 0;
}

/* Moves to the next row of the page; there is one. */
static int advance(Scan *scan) {
  const int columns = table_of(scan)->module->columns;
  for (int i = 0; i < columns; i++) {
    size_t size = value_size(scan, scan->next);
    if (size == 0) return failed(scan, text_copy("a page of a table function is cut off"));
    scan->values[i] = scan->next;
    scan->next += size;
  }
  scan->left--;
  scan->rowid++;
  return SQLITE_OK;
}

/* Asks for a page and moves to its first row. */
static int fetch(Scan *scan, int op, int argc, sqlite3_value **argv) {
  const Module *module = table_of(scan)->module;
  char *message = NULL;
  free(scan->page);
  scan->page = NULL;
  scan->left = 0;
  if (!callback_page(module->callback, op, scan->number, argc, argv, &scan->page, &scan->size, &message)) {
    return failed(scan, message);
  }
  if (scan->size < PAGE_HEADER_BYTES) return failed(scan, text_copy("a page of a table function has no header"));
  memcpy(&scan->left, scan->page, sizeof scan->left);
  scan->next = PAGE_HEADER_BYTES;
  if (scan->left > 0) return advance(scan);
  /* The other side has ended it, too. */
  scan->ended = true;
  scan->number = 0;
  return SQLITE_OK;
}

/* Ends what is open on the other side, and forgets the arguments. */
static void leave(Scan *scan) {
  const Module *module = table_of(scan)->module;
  const Api *api = module->connection->api;
  if (scan->number != 0 && !module->connection->leaving) {
    callback_page(module->callback, TABLE_CLOSE, scan->number, 0, NULL, NULL, NULL, NULL);
  }
  scan->number = 0;
  free(scan->page);
  scan->page = NULL;
  for (int i = 0; i < module->parameters; i++) {
    api->value_free(scan->arguments[i]);
    scan->arguments[i] = NULL;
  }
}

static int on_close(sqlite3_vtab_cursor *cursor) {
  Scan *scan = (Scan *)cursor;
  leave(scan);
  table_of(scan)->module->scans--;
  free(scan->values);
  free(scan->arguments);
  free(scan);
  return SQLITE_OK;
}

static int on_filter(sqlite3_vtab_cursor *cursor, int given, const char *text, int argc, sqlite3_value **argv) {
  (void)text;
  Scan *scan = (Scan *)cursor;
  const Module *module = table_of(scan)->module;
  const Api *api = module->connection->api;
  leave(scan);
  int next = 0;
  for (int i = 0; i < module->parameters && next < argc; i++) {
    if ((given & (int)(1u << i)) == 0) continue;
    scan->arguments[i] = api->value_dup(argv[next++]);
    if (scan->arguments[i] == NULL) return SQLITE_NOMEM;
  }
  scan->ended = false;
  scan->rowid = 0;
  scan->number = (double)++module->connection->groups;
  return fetch(scan, TABLE_OPEN, module->parameters, scan->arguments);
}

static int on_next(sqlite3_vtab_cursor *cursor) {
  Scan *scan = (Scan *)cursor;
  return scan->left > 0 ? advance(scan) : fetch(scan, TABLE_NEXT, 0, NULL);
}

static int on_eof(sqlite3_vtab_cursor *cursor) {
  return ((Scan *)cursor)->ended;
}

static int on_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid) {
  *rowid = ((Scan *)cursor)->rowid;
  return SQLITE_OK;
}

/* The tagged value at `at`, which lies in the page. */
static void give(const Scan *scan, const Api *api, sqlite3_context *context, size_t at) {
  const uint8_t *bytes = scan->page + at + 1;
  uint32_t length = 0;
  switch (scan->page[at]) {
    case TAG_NULL:
      api->result_null(context);
      return;
    case TAG_INT64: {
      sqlite3_int64 whole = 0;
      memcpy(&whole, bytes, sizeof whole);
      api->result_int64(context, whole);
      return;
    }
    case TAG_FLOAT64: {
      double number = 0;
      memcpy(&number, bytes, sizeof number);
      api->result_double(context, number);
      return;
    }
    case TAG_TEXT:
      memcpy(&length, bytes, sizeof length);
      api->result_text64(context, (const char *)bytes + 4, length, SQLITE_TRANSIENT, SQLITE_UTF8);
      return;
    default:
      memcpy(&length, bytes, sizeof length);
      api->result_blob64(context, bytes + 4, length, SQLITE_TRANSIENT);
  }
}

static int on_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column) {
  const Scan *scan = (Scan *)cursor;
  const Module *module = table_of(scan)->module;
  const Api *api = module->connection->api;
  if (column < module->columns) {
    give(scan, api, context, scan->values[column]);
  } else if (scan->arguments[column - module->columns] != NULL) {
    api->result_value(context, scan->arguments[column - module->columns]);
  } else {
    api->result_null(context);
  }
  return SQLITE_OK;
}

/* Without xCreate: there is nothing to create, the module's name is the table's. */
static const sqlite3_module tableFunction = {
    .iVersion = 0,
    .xConnect = on_connect,
    .xBestIndex = on_best_index,
    .xDisconnect = on_disconnect,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_filter,
    .xNext = on_next,
    .xEof = on_eof,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

/* Whether a statement is in the middle of such a table. */
static bool is_scanned(const Connection *connection, const char *name) {
  for (const Module *module = connection->modules; module != NULL; module = module->next) {
    if (module->scans > 0 && connection->api->stricmp(module->name, name) == 0) return true;
  }
  return false;
}

/* Behind this, SQLite calls the destructor, also on failure. */
static void add(Connection *connection, Module *module) {
  module->next = connection->modules;
  if (module->next != NULL) module->next->previous = module;
  connection->modules = module;
}

int vtab_register(Connection *connection, const char *name, const char *schema, int columns, int parameters,
                  Callback *callback) {
  const Api *api = connection->api;
  int code = SQLITE_NOMEM;
  /* As SQLite itself has it with functions and collations. */
  if (is_scanned(connection, name)) {
    callback_free(callback);
    return SQLITE_BUSY;
  }
  if (callback == NULL) {
    code = api->create_module_v2(connection->db, name, NULL, NULL, NULL);
  } else {
    Module *module = calloc(1, sizeof *module);
    char *schemaCopy = text_copy(schema);
    char *nameCopy = text_copy(name);
    if (module == NULL || schemaCopy == NULL || nameCopy == NULL) {
      free(module);
      free(schemaCopy);
      free(nameCopy);
      callback_free(callback);
      return SQLITE_NOMEM;
    }
    *module = (Module){.name = nameCopy,
                       .callback = callback,
                       .connection = connection,
                       .schema = schemaCopy,
                       .columns = columns,
                       .parameters = parameters};
    add(connection, module);
    code = api->create_module_v2(connection->db, name, &tableFunction, module, module_free);
  }
  /* Unlike a new function, a new module does not make SQLite prepare again what has been; a new authorizer does. */
  actions_install(connection);
  return code;
}
