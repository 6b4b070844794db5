/**
 * The end of the process: it waits for its threads, and a thread within a statement of SQLite comes to its end no sooner than
 * the statement. So all of them are stopped.
 */
interface Stoppable {
  readonly stopAll: () => void
  /** Whether a statement runs at this moment. */
  readonly runs: () => boolean
}

const running = new Set<Stoppable>()

/** Milliseconds that they get: some SQLite libraries abort the process when it ends a thread within them. */
const patience = 250

const stopAll = (): void => {
  running.forEach((session) => session.stopAll())
  const sleeping = new Int32Array(new SharedArrayBuffer(4))
  for (let wait = 0; wait < patience && [...running].some((session) => session.runs()); wait++) {
    Atomics.wait(sleeping, 0, 0, 1)
  }
}

/** Stops what runs on the session when the process exits; answers how to forget it. */
export const stopAtExit = (session: Stoppable): (() => void) => {
  // One listener for all of them, and none where nothing is open.
  if (running.size === 0) {
    process.on("exit", stopAll)
  }
  running.add(session)
  return () => {
    running.delete(session)
    if (running.size === 0) {
      process.off("exit", stopAll)
    }
  }
}
