/* What the pump's files share: a connection, its statements and backups, and who offers what to whom. */
#ifndef PUMP_H
#define PUMP_H

#ifndef NAPI_VERSION
#define NAPI_VERSION 8
#endif
/* The plain struct of the API table: without this, macros would hide one process-wide table behind every call. */
#define SQLITE_CORE 1

#include <node_api.h>
#include <sqlite3ext.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_MSC_VER)
#define THREAD_LOCAL __declspec(thread)
#else
#define THREAD_LOCAL _Thread_local
#endif

/* Exported by the runtime: the clock of process.hrtime, and a sleep in milliseconds, on every platform. */
extern uint64_t uv_hrtime(void);
extern void uv_sleep(unsigned int milliseconds);

/* Every SQLite function that we call, in the library that the connection was opened with. */
typedef sqlite3_api_routines Api;

typedef struct Connection Connection;
typedef struct Statement Statement;
typedef struct Backup Backup;
typedef struct Blob Blob;
typedef struct Changes Changes;
typedef struct Guard Guard;
typedef struct Module Module;

/* ---- control.c: may the current request go on? ---- */

/* What the JavaScript side asks for when it loads the pump (`revision` in pump.ts). Raise both with every change of
   what the two share: exports and their parameters, control words, pages, numbers of kinds and hooks; and with what an
   older pump must not be used for any more, because it does not protect from it. */
enum { REVISION = 9 };

enum { WHY_NONE = 0, WHY_CANCELLED = 1, WHY_DEADLINE = 2, WHY_INTERRUPTED = 3, WHY_CALLBACK = 9 };

/* The control words that this thread shares with the event loop, and the request that they are looked up for. */
typedef struct Control {
  void *words;
  /* The request now running, 0 none: then nothing stops. */
  int32_t seq;
  int32_t slot;
  /* Why the last look said stop; kept until the next run begins. */
  int why;
  /* A callback that cannot tell SQLite so has failed: the statement is to stop. */
  bool failed;
  /* Not 0 while we tidy up (a rollback), which nothing may stop. */
  int shielded;
  int progressSteps;
  /* Progress callbacks so far: at some of them more is looked at than the words. */
  unsigned looks;
  uint64_t busyTimeout;
  uint64_t busySince;
} Control;

/* Bytes of the control block that are read here. */
size_t control_bytes(void);
/* Names the request that is looked up from here on, 0 none. False: there is no such slot. */
bool control_begin(Control *control, int32_t seq, int32_t slot);
/* Looks at the words and remembers why in `control->why`. */
int control_check(Control *control);
/* Puts the progress and the busy handler on a connection. */
void control_install(Connection *connection);
/* SQLite has put a busy handler of its own in the place of ours, which looks at no words: ours takes over its timeout. */
void control_adopt_timeout(Connection *connection);
/* Until the next control_install: looks at every instruction of the statements that SQLite begins. */
void control_hurry(Connection *connection);
/* Steps once with the words looked at right away, so that SQLite itself ends (and undoes) a statement to be stopped. */
int control_step_to_stop(Connection *connection, sqlite3_stmt *stmt);

/* ---- actions.c: what does a statement do? ---- */

typedef enum SavepointAction { SAVEPOINT_NONE, SAVEPOINT_BEGIN, SAVEPOINT_RELEASE, SAVEPOINT_ROLLBACK } SavepointAction;

enum { MOST_WRITTEN = 8 };

/* What the authorizer heard while one statement was prepared. */
typedef struct Actions {
  /* Something that another connection could not do in our place. */
  bool bound;
  /* Makes temporary objects or attaches a database. */
  bool secluding;
  /* A PRAGMA that has set the busy timeout, as it does while it is prepared. */
  bool timing;
  /* Takes rows out of a table of SQLite's own: drops something. */
  bool dropping;
  /* What follows is noted only while somebody listens to changes. Tables that it writes to, and whether there are more. */
  bool writesMore;
  int written;
  int tables[MOST_WRITTEN];
  SavepointAction savepoint;
  /* Of the savepoint; to free(). */
  char *name;
} Actions;

/* Frees what is in it. */
void actions_clear(Actions *actions);

void actions_install(Connection *connection);
/* From here on statements read and do nothing else, and none of their expressions is copied level by level. False: this
   SQLite cannot be told so. */
bool actions_restrict(Connection *connection);

/* ---- guard.c: functions that would take too long in a single call ---- */

/* From here on they are bounded. False: no memory. */
bool guard_install(Connection *connection);
/* Once the connection is closed. */
void guard_release(Connection *connection);

/* ---- encode.c: rows into pages ---- */

typedef struct Column {
  /* One type tag and one 8-byte slot per row staged. */
  uint8_t *tags;
  int64_t *slots;
  /* Texts and blobs of the rows staged, one after the other: in `arena`, or one value in SQLite's own memory. */
  const uint8_t *bytes;
  uint8_t *arena;
  size_t arenaSize;
  size_t used;
  /* UTF-16 units in them. */
  size_t units;
  /* A bit per type tag seen. */
  unsigned seen;
  bool nonAscii;
  bool badUtf8;
  int64_t min;
  int64_t max;
  /* Text or blob of the row that was read last. */
  const uint8_t *value;
  size_t length;
} Column;

/* Where rows wait, by column, until their page is written. One per connection: pages are made one at a time. */
typedef struct Staging {
  Column *columns;
  int count;
  size_t rows;
} Staging;

/* A row's bytes when SQLite had no memory for one of its values. */
#define ROW_FAILED SIZE_MAX

typedef struct Header {
  uint32_t rows;
  uint32_t flags;
  int32_t code;
  uint32_t why;
  uint32_t columns;
  int32_t detail;
  double changes;
  int64_t lastInsertRowid;
  double engineNanos;
  const uint8_t *names;
  size_t namesBytes;
  const char *message;
  size_t messageBytes;
} Header;

enum {
  FLAG_DONE = 1,
  FLAG_IN_TRANSACTION = 2,
  FLAG_COLUMNS = 4,
  FLAG_ROUTABLE = 8,
  FLAG_READONLY = 16,
  FLAG_PRIVATE = 32
};

enum { HEADER_BYTES = 96, LARGE_ROW_BYTES = 64 * 1024 };

/* Makes room for so many columns and rows and forgets what was staged. False: no memory. */
bool staging_begin(Staging *staging, int columns, size_t rows);
bool staging_grow(Staging *staging, int columns, size_t rows);
/* Reads the row that a statement stands on, without adding it yet; answers the bytes of its texts and blobs. */
size_t staging_read(Staging *staging, const Api *api, sqlite3_stmt *stmt, int columns, size_t row);
/* Adds the row just read. False: no memory. */
bool staging_add(Staging *staging, int columns, size_t row);
/* Adds it as the only one, its values left where SQLite has them. */
void staging_lend(Staging *staging, int columns);
/* The bytes of a page's header and columns with `rows` rows, `unread`: the row just read counted in. */
size_t staging_size(const Staging *staging, int columns, size_t rows, bool unread);
void staging_free(Staging *staging);
/* The bytes of a page whose columns end at `size`, with its blocks. */
size_t page_size(const Header *header, size_t size);
/* Writes a page; there is room for it. Answers its bytes. */
size_t page_write(const Staging *staging, const Header *header, uint8_t *out);

/* ---- statement.c, parameters.c, batch.c ---- */

typedef enum Held {
  HELD_NOTHING,
  /* Standing on a row that is not yet in any page. */
  HELD_ROW,
  /* Ended (and reset), but no page has said so. */
  HELD_END
} Held;

struct Statement {
  Connection *connection;
  /* NULL once finalized. */
  sqlite3_stmt *stmt;
  Statement *previous;
  Statement *next;
  Actions actions;
  bool readonly;
  bool explain;
  int columns;
  int reprepared;
  /* The columns block, and whether the next page carries it. */
  uint8_t *names;
  size_t namesBytes;
  bool namesDue;
  Held held;
  bool running;
  /* Changes of the connection before the run. */
  int64_t changesBefore;
  /* How the run ended. */
  int code;
  int why;
  char *message;
  double changes;
  /* Time spent on the next page so far. */
  uint64_t nanos;
};

/* Prepares the first statement of the text and sets `tail`; NULL with `*code` 0: there is none. */
Statement *statement_prepare(Connection *connection, const char *text, size_t length, const char **tail, int *code);
bool statement_routable(const Statement *statement);
/* Reads the columns again; false: no memory. */
bool statement_refresh(Statement *statement);
/* Starts the run with its first step: SQLITE_ROW, SQLITE_DONE or an error. */
int statement_start(Statement *statement);
/* Runs from its start to its end, with no use for its rows: SQLITE_DONE or an error. */
int statement_run(Statement *statement);
/* Ends the run: how, and with what changes. */
void statement_end(Statement *statement, int code);
/* Writes a page and answers its bytes; −n when the next row alone needs n bytes; 0: no memory even to tell of it. */
int64_t statement_fetch(Statement *statement, int64_t maxRows, uint8_t *out, size_t capacity);
/* Answers the bytes of its page, whatever happened. `capacity` is at least HEADER_BYTES. */
int64_t statement_batch(Statement *statement, const uint8_t *bytes, size_t length, int parameters, int64_t rows,
                        uint8_t *out, size_t capacity);
void statement_reset(Statement *statement);
/* Gives back what SQLite holds for it; the struct stays until the JS handle goes. */
void statement_finalize(Statement *statement);
/* Frees the struct, finalizing first what is not yet. */
void statement_release(Statement *statement);

/* What a tagged value begins with, as `ParameterTag` in src/internal/parameters.ts has it. */
enum { TAG_NULL, TAG_INT64, TAG_FLOAT64, TAG_TEXT, TAG_BLOB };

/* Binds one row of tagged parameters from `*at` on and moves `*at` behind it. Answers a result code. */
int parameters_bind(Statement *statement, const uint8_t **at, const uint8_t *end, int count, bool keep);

/* ---- callbacks.c: what JavaScript answers to SQLite ---- */

typedef struct Callback Callback;

typedef enum FunctionKind { FUNCTION_SCALAR, FUNCTION_AGGREGATE, FUNCTION_WINDOW } FunctionKind;

/* In the order of `hookKinds` in src/internal/messages.ts. */
typedef enum Hook {
  HOOK_AUTHORIZER,
  HOOK_BUSY,
  HOOK_PROGRESS,
  HOOK_UPDATE,
  HOOK_COMMIT,
  HOOK_ROLLBACK,
  HOOK_WAL,
  HOOK_TRACE,
  HOOK_PROFILE,
  HOOK_COLLATION_NEEDED,
  HOOK_AUTOVACUUM_PAGES,
  HOOK_COUNT
} Hook;

/* NULL: no memory. */
Callback *callback_make(Connection *connection, napi_value function);
void callback_free(void *callback);
/* These take the callback over, also when they fail; NULL takes the function or collation away. */
int callback_function(Connection *connection, const char *name, int arity, int flags, FunctionKind kind,
                      Callback *callback);
int callback_collation(Connection *connection, const char *name, Callback *callback);
void callback_hook(Connection *connection, Hook hook, Callback *callback);
/* Calls a table's function; `argv` may hold NULLs. Answers a copy of the bytes that it answers, to free(), and their
   size; nothing where `page` is NULL. False: it threw, or answered no bytes; its message is to be freed. */
bool callback_page(const Callback *callback, int op, double number, int argc, sqlite3_value **argv, uint8_t **page,
                   size_t *size, char **message);
/* What the program's authorizer says, SQLITE_OK without one. */
int callback_authorize(Connection *connection, int action, const char *first, const char *second, const char *database,
                       const char *trigger);
/* Whether the program's busy handler, which is there, wants another try. */
bool callback_retry(Connection *connection, int tries);
/* Whether the program's progress handler, if any, wants the statement stopped. */
bool callback_stops(Connection *connection);
/* Puts a hook on the connection, or off when nobody wants it. */
void callback_refresh(Connection *connection, Hook hook);
/* Drops the hooks of a closed connection. */
void callback_release(Connection *connection);

/* ---- changes.c: which rows have been changed ---- */

/* From here on, or from here on no more. False: no memory. */
bool changes_listen(Connection *connection, bool on);
/* The number of a table, −1: no memory. */
int changes_table(Changes *changes, const char *database, const char *table);
void changes_add(Changes *changes, int operation, const char *database, const char *table, int64_t rowid);
void changes_rolled_back(Changes *changes);
/* All rows may be others. */
void changes_replaced(Connection *connection);
/* Around every statement that is run; without a listener they do nothing. */
void changes_begin(Statement *statement);
void changes_end(Statement *statement, bool failed);
/* Looks whether the transaction has ended. */
void changes_settle(Connection *connection);
/* Where the changes stand, to undo what comes after it. */
size_t changes_mark(const Changes *changes);
void changes_undo(Changes *changes, size_t mark);
/* Whether there is something to take. */
bool changes_pending(const Connection *connection);
/* What is committed, 16 bytes each: table, operation, rowid; and whether there is more of which nothing is known. */
const void *changes_committed(const Changes *changes, size_t *bytes, bool *unknown);
/* Of table n the database is name 2n and its own 2n + 1; NULL behind the last. */
const char *changes_name(const Changes *changes, int index);
void changes_taken(Changes *changes);
void changes_release(Connection *connection);

/* ---- vtab.c: tables whose rows JavaScript gives ---- */

/* Takes the callback over, also when it fails; NULL takes the table away. SQLITE_BUSY while a statement is in the middle of
   it. At most 31 parameters. */
int vtab_register(Connection *connection, const char *name, const char *schema, int columns, int parameters,
                  Callback *callback);

/* ---- connection.c, backup.c ---- */

struct Connection {
  /* One for the JS handle, one for each statement and backup that points here. */
  int references;
  const Api *api;
  /* NULL once closed. */
  sqlite3 *db;
  Control control;
  Staging staging;
  /* Where the authorizer writes to, NULL: nowhere. */
  Actions *recording;
  /* A statement of our own is on its way, of which the program is neither asked nor told. */
  bool own;
  /* The schemas were forgotten inside a transaction, see connection_forget_schemas. */
  bool forgotten;
  /* Has temporary objects or attached databases. */
  bool secluded;
  /* Its statements come from strangers: the authorizer lets them read, and nothing else. */
  bool restricted;
  /* NULL: it is not. */
  Guard *guard;
  /* The statement that SQLite is stepping; NULL: none of ours. */
  sqlite3_stmt *stepping;
  /* A BEGIN, COMMIT or the like of our own: it is done at once or waits for a lock, and is stopped nowhere else. */
  bool brief;
  Statement *statements;
  Backup *backups;
  Blob *blobs;
  /* Table functions. */
  Module *modules;
  /* The program's own; NULL: none. */
  Callback *hooks[HOOK_COUNT];
  /* What our WAL hook checkpoints at, as SQLite's own did before it; 0: never. */
  int checkpointPages;
  /* There are collations in JavaScript, or have been. */
  bool collations;
  /* A comparison has failed, and SQLite took it for an answer: the step in which it did is to fail, and leave nothing. */
  bool misjudged;
  /* NULL: nobody listens. */
  Changes *changes;
  /* Groups of aggregates, and scans of table functions, that have had a number. */
  int64_t groups;
  /* The environment ends: no JavaScript can be called any more. */
  bool leaving;
  /* Set by the binding: the environment that closes us when it ends, and the words kept alive for us. */
  napi_env env;
  napi_ref words;
};

Connection *connection_open(const Api *api, const char *filename, int flags, int *code, char **message);
void connection_configure(Connection *connection, void *words, int progressSteps, int busyTimeout);
/* One of SQLite's switches (SQLITE_DBCONFIG_…), and one of its limits (SQLITE_LIMIT_…). */
void connection_set_option(Connection *connection, int option, bool on);
void connection_set_limit(Connection *connection, int limit, int value);
int connection_exec(Connection *connection, const char *text, size_t length);
/* A ROLLBACK or the like of our own, which nothing stops and nobody is asked about. */
int connection_tidy(Connection *connection, const char *text);
/* Makes SQLite parse the schemas again before the next statement. */
int connection_forget_schemas(Connection *connection);
/* Before every statement: once more, when a transaction in which they were forgotten has ended. */
void connection_refresh_schemas(Connection *connection);
/* Why the main database cannot be replaced as the connection stands, NULL: it can. */
const char *connection_replace_obstacle(Connection *connection);
/* Puts a copy of the image in the place of the main database, where nothing stands against it. */
int connection_replace(Connection *connection, const void *bytes, size_t length);
int connection_load_extension(Connection *connection, const char *path, char **message);
int64_t connection_total_changes(const Connection *connection);
/* A step of a statement; callbacks may step others of the connection within it. Where a comparison has failed in it, it is
   SQLITE_INTERRUPT, and what it has written is undone, with the transaction that is open. */
int connection_step(Connection *connection, sqlite3_stmt *stmt);
int64_t connection_changes(const Connection *connection);
uint32_t connection_flags(const Connection *connection);
/* Its last error's message, or that of our stop. */
const char *connection_message(const Connection *connection, int code);
/* A failure during which our handlers said stop counts as interrupted, whatever SQLite made of it. */
int connection_code(const Connection *connection, int code);
void connection_close(Connection *connection);
void connection_release(Connection *connection);

struct Backup {
  Connection *connection;
  sqlite3 *destination;
  /* NULL once finished. */
  sqlite3_backup *backup;
  Backup *previous;
  Backup *next;
};

Backup *backup_start(Connection *connection, const char *destination, int *code, char **message);
/* SQLITE_DONE, SQLITE_OK (more to do) or an error. */
int backup_step(Backup *backup, int pages);
void backup_finish(Backup *backup);
void backup_release(Backup *backup);

/* ---- blob.c: parts of one value ---- */

/* NULL with `*code`: there is no such value. */
Blob *blob_open(Connection *connection, const char *schema, const char *table, const char *column, int64_t rowid,
                bool write, int *code);
/* The same column of another row. A failure leaves it good for nothing but another reopening. */
int blob_reopen(Blob *blob, int64_t rowid);
/* In bytes. */
int blob_size(const Blob *blob);
/* SQLITE_ABORT once the row has been changed. `keep`: more is about to be read. */
int blob_read(Blob *blob, void *out, int length, int offset, bool keep);
int blob_write(Blob *blob, const void *bytes, int length, int offset);
Connection *blob_connection(const Blob *blob);
bool blob_is_closed(const Blob *blob);
void blob_close(Blob *blob);
/* Frees the struct, closing it first. */
void blob_release(Blob *blob);
/* Before every statement: SQLite's own handles are not open while one runs. */
void blobs_put_aside(Connection *connection);
/* The values of a whole database are gone. */
void blobs_replaced(Connection *connection, const char *database);
/* A row is being changed. */
void blobs_changed(Connection *connection, const char *database, const char *table, int64_t rowid);

/* ---- text.c ---- */

/* UTF-16 units of a text; sets the flags when it is not ASCII and when it is not valid UTF-8. */
size_t text_units(const uint8_t *text, size_t length, bool *nonAscii, bool *bad);
/* Skips white space, comments and empty statements of SQL. */
const char *text_skip(const char *text, const char *end);
/* A copy to free() later, NULL: no memory (or no text). */
char *text_copy(const char *text);

#endif
