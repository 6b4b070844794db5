/**
 * The end of the process: it waits for its threads, and a thread within a statement of SQLite comes to its end no sooner than
 * the statement. So all of them are stopped.
 */
interface Stoppable {
  readonly stopAll: () => void
  /** Whether a statement runs at this moment. */
  readonly runs: () => boolean
  /** Whether that is one within which its thread must not be ended. */
  readonly mustEnd: () => boolean
}

const running = new Set<Stoppable>()

/**
 * Milliseconds that they get. What cannot be stopped in a library that aborts the process when a thread is ended within it
 * gets as long as it takes: the process would wait for that thread anyway.
 */
const patience = 250

const stopAll = (): void => {
  running.forEach((session) => session.stopAll())
  const sleeping = new Int32Array(new SharedArrayBuffer(4))
  const sessions = [...running]
  const isWaitedFor = (wait: number) => (session: Stoppable) => (wait < patience ? session.runs() : session.mustEnd())
  for (let wait = 0; sessions.some(isWaitedFor(wait)); wait++) {
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
