/* Control: looks at the words of the running request from inside SQLite (progress and busy handler) and around it. */
#include "pump.h"

#include <stdatomic.h>

/* Where the words lie, as src/internal/boundary.ts has it. */
enum { WORD_INTERRUPT = 4, CANCEL_WORD = 256 / 4, DEADLINE_BYTE = 1024, SLOTS = 80 };

/* Longest sleep between two tries of a lock, in ms: how late a stop may be noticed there. */
enum { LONGEST_SLEEP = 5 };

/* Progress callbacks between two looks for the thread's end: a millisecond or so, and too few to be felt. */
enum { TERMINATION_LOOKS = 64 };

size_t control_bytes(void) {
  return DEADLINE_BYTE + SLOTS * sizeof(int64_t);
}

static int check_at(Control *control, uint64_t now) {
  if (control->seq == 0 || control->shielded || control->words == NULL) return WHY_NONE;
  _Atomic int32_t *words = control->words;
  _Atomic int64_t *deadlines = (void *)((char *)control->words + DEADLINE_BYTE);
  int why = control->failed ? WHY_CALLBACK : WHY_NONE;
  /* In one order with the store of the running request before: the loop stores the cancel word, then reads that one. */
  if (atomic_load(&words[CANCEL_WORD + control->slot]) == control->seq) {
    why = WHY_CANCELLED;
  } else if (atomic_load(&words[WORD_INTERRUPT]) == control->seq) {
    why = WHY_INTERRUPTED;
  } else {
    int64_t deadline = atomic_load(&deadlines[control->slot]);
    if (deadline != 0) {
      if (now == 0) now = uv_hrtime();
      if ((int64_t)now >= deadline) why = WHY_DEADLINE;
    }
  }
  if (why != WHY_NONE) control->why = why;
  return why;
}

bool control_begin(Control *control, int32_t seq, int32_t slot) {
  if (slot < 0 || slot >= SLOTS) return false;
  control->seq = seq;
  control->slot = slot;
  control->why = WHY_NONE;
  control->failed = false;
  return true;
}

int control_check(Control *control) {
  return check_at(control, 0);
}

/* Whether this thread is being terminated: the program's thread that started it is, and waits for its end, so nobody
   will set a word any more. Only a call into JavaScript would be told; converting a boolean is the smallest that asks. */
static bool terminated(Connection *connection) {
  Control *control = &connection->control;
  napi_env env = connection->env;
  napi_handle_scope scope;
  napi_value value = NULL;
  bool pending = false, ends = false;
  if (control->seq == 0 || control->shielded || env == NULL || connection->leaving) return false;
  if (napi_is_exception_pending(env, &pending) != napi_ok || pending) return false;
  /* A statement of hours looks millions of times. */
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  ends = napi_get_boolean(env, true, &value) == napi_ok && napi_coerce_to_bool(env, value, &value) != napi_ok;
  napi_close_handle_scope(env, scope);
  if (ends) control->why = WHY_INTERRUPTED;
  return ends;
}

/* SQLite asks once more behind the last step of a statement, when what it has written is committed. */
static bool is_over(const Connection *connection) {
  return connection->brief || (connection->stepping != NULL && !connection->api->stmt_busy(connection->stepping));
}

static int on_progress(void *pointer) {
  Connection *connection = pointer;
  Control *control = &connection->control;
  if (is_over(connection)) return 0;
  if (check_at(control, 0) != WHY_NONE || connection->misjudged) return 1;
  if (++control->looks % TERMINATION_LOOKS == 0 && terminated(connection)) return 1;
  if (!callback_stops(connection)) return 0;
  if (check_at(control, 0) == WHY_NONE) control->why = WHY_INTERRUPTED;
  return 1;
}

/* Answers whether to try the lock again. */
static int on_busy(void *pointer, int tries) {
  Connection *connection = pointer;
  Control *control = &connection->control;
  uint64_t now = uv_hrtime();
  if (tries == 0) control->busySince = now;
  if (check_at(control, now) != WHY_NONE || terminated(connection)) return 0;
  if (connection->hooks[HOOK_BUSY] != NULL) return callback_retry(connection, tries);
  uint64_t waited = now - control->busySince;
  if (waited >= control->busyTimeout) return 0;
  uint64_t left = (control->busyTimeout - waited + 999999) / 1000000;
  uint64_t pause = tries + 1 < LONGEST_SLEEP ? (uint64_t)tries + 1 : LONGEST_SLEEP;
  uv_sleep((unsigned int)(pause < left ? pause : left));
  return 1;
}

void control_install(Connection *connection) {
  const Api *api = connection->api;
  Control *control = &connection->control;
  if (control->progressSteps > 0) {
    api->progress_handler(connection->db, control->progressSteps, on_progress, connection);
  } else {
    api->progress_handler(connection->db, 0, NULL, NULL);
  }
  api->busy_handler(connection->db, on_busy, connection);
}

void control_adopt_timeout(Connection *connection) {
  const Api *api = connection->api;
  sqlite3_stmt *stmt = NULL;
  bool own = connection->own;
  connection->own = true;
  if (api->prepare_v2(connection->db, "PRAGMA busy_timeout", -1, &stmt, NULL) == SQLITE_OK &&
      api->step(stmt) == SQLITE_ROW) {
    int timeout = api->column_int(stmt, 0);
    connection->control.busyTimeout = timeout > 0 ? (uint64_t)timeout * 1000000 : 0;
  }
  api->finalize(stmt);
  connection->own = own;
  control_install(connection);
}

void control_hurry(Connection *connection) {
  connection->api->progress_handler(connection->db, 1, on_progress, connection);
}

int control_step_to_stop(Connection *connection, sqlite3_stmt *stmt) {
  control_hurry(connection);
  int code = connection_step(connection, stmt);
  control_install(connection);
  return code;
}
