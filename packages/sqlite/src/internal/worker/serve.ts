/** From `workerData` to a served connection: choose the engine, open, configure, say so, loop. */
import type { ErrorMessage, ToLoop } from "../messages.js"
import type { Opening, Start } from "../opening.js"
import { Word } from "../boundary.js"
import { carrier } from "../carrier.js"
import { hasOption, readName } from "../databaseName.js"
import { folded } from "../folded.js"
import { openSeq, openSlot } from "../openSeq.js"
import { adopt, load, stalePump } from "../pump.js"
import { ExtendedCode, OwnCode, primaryCode, ResultCode } from "../resultCode.js"
import { firstStatement } from "../split.js"
import { type Connection, type Engine, EngineError, errorMessage } from "./engine.js"
import { fifoAt, isDirectoryAt } from "./files.js"
import { Loop } from "./loop.js"
import { nativeEngine } from "./nativeEngine.js"
import { portableEngine } from "./portableEngine.js"
import { queryRows } from "./queryRows.js"
import { queryValue } from "./queryValue.js"
import { restrict } from "./restrict.js"

const chooseEngine = ({ loaded, opening: { engine: wished } }: Start): Engine => {
  const adopted = wished === "portable" || loaded === undefined ? undefined : adopt(loaded)
  if (adopted !== undefined) {
    return nativeEngine(adopted)
  }
  const library = carrier()
  const pump = wished === "portable" ? undefined : load(library)
  if (pump === undefined && wished === "native") {
    throw new EngineError(
      OwnCode.failed,
      stalePump() ?? "the native pump is not there; install a C compiler or use the portable engine"
    )
  }
  return pump === undefined ? portableEngine(library) : nativeEngine(pump)
}

/** SQLite ignores a PRAGMA that it does not know: a slip in `synchronous` would cost what it was set for. */
const refuseUnknown = (pragmas: ReadonlyArray<string>, connection: Connection): void => {
  if (pragmas.length > 0) {
    const known = new Set(queryRows(connection, "PRAGMA pragma_list").map(([name]) => name))
    const unknown = pragmas.find((name) => !known.has(folded(name)))
    // One that was built without the list knows others all the same.
    if (unknown !== undefined && known.size > 0) {
      throw new EngineError(
        OwnCode.invalid,
        `pragmas has "${unknown}", which this SQLite does not know and would ignore; what an extension adds can be set in onOpen`
      )
    }
  }
}

/** The file is open, and a statement that the configuration asks for has failed. */
class StatementFailed extends Error {
  constructor(
    readonly statement: string,
    override readonly cause: unknown
  ) {
    super()
  }
}

/** Everything that must be so before the first statement. Answers the journal mode. */
const configure = (connection: Connection, opening: Opening): string => {
  for (const path of opening.extensions) {
    connection.loadExtension(path)
  }
  refuseUnknown(opening.pragmas, connection)
  connection.exec("PRAGMA foreign_keys=ON")
  if (opening.wal && queryValue(connection, "PRAGMA journal_mode=WAL") === "wal") {
    // What builds of SQLite for applications choose: in WAL mode NORMAL cannot corrupt, and a crash of the process loses
    // nothing; losing power may lose the last commits (https://www.sqlite.org/pragma.html#pragma_synchronous).
    connection.exec("PRAGMA synchronous=NORMAL")
  }
  for (const text of opening.onOpen) {
    // Every session runs these, so that one which answers otherwise answers as all others do.
    const statement = firstStatement(text)
    try {
      if (statement?.words[0] === "PRAGMA" && statement.tail === "") {
        connection.execOwn(text)
      } else {
        connection.exec(text)
      }
    } catch (error) {
      throw new StatementFailed(text, error)
    }
  }
  if (connection.inTransaction()) {
    // What the client does next would become a part of it.
    throw new EngineError(OwnCode.unsupported, "onOpen leaves a transaction open: end it there")
  }
  if (opening.queryOnly) {
    connection.exec("PRAGMA query_only=ON")
  }
  // Reads the header, so that a file that is no database is found now and not by the first statement.
  return String(queryValue(connection, "PRAGMA journal_mode"))
}

/** SQLite says of a directory what it says of anything that it cannot open, or, where it only reads, cannot read. */
const unreadable: ReadonlySet<number> = new Set([ResultCode.cantopen, ResultCode.ioerr])

const openError = (error: unknown, filename: string): ErrorMessage => {
  const told = errorMessage(error)
  return unreadable.has(primaryCode(told.code)) && isDirectoryAt(filename)
    ? { code: ExtendedCode.isDirectory, message: "it is a directory" }
    : told
}

/** A URI with `mode=rwc`: SQLite refuses it where it may make no file, also when the file is there. */
const mayCreate = (filename: string): boolean => hasOption(readName(filename), "mode", "rwc")

export const serve = (start: Start): void => {
  const { opening } = start
  // Whoever waits for it hears of its end no sooner than the event loop, which may be ending itself.
  process.once("exit", () => Atomics.store(new Int32Array(start.shared), Word.ended, 1))
  const post = (message: ToLoop) => start.port.postMessage(message)
  let connection: Connection | undefined
  const fail = (error: unknown): void => {
    connection?.close()
    const [cause, statement] = error instanceof StatementFailed ? [error.cause, error.statement] : [error, undefined]
    post(["failed", openError(cause, opening.filename), statement])
    start.port.close()
  }
  let ready: () => void
  let imported: Promise<void> | undefined
  try {
    const engine = chooseEngine(start)
    const fifo = fifoAt(opening.filename)
    if (fifo !== undefined) {
      throw new EngineError(OwnCode.failed, `${fifo} is a FIFO`)
    }
    connection = engine.open({
      filename: opening.filename,
      readonly: opening.readonly,
      create: !opening.readonly && (!opening.queryOnly || mayCreate(opening.filename)),
      shared: start.shared,
      progressSteps: opening.progressSteps,
      busyTimeout: opening.busyTimeout,
      safety: opening.safety
    })
    connection.start(openSeq, openSlot)
    const journalMode = configure(connection, opening)
    const opened = opening.untrusted === undefined ? connection : restrict(connection, opening.untrusted)
    const loop = new Loop(start, opened, engine)
    ready = () => {
      opened.end()
      post(["ready", engine.kind, engine.version, journalMode])
      loop.run(() => {
        post(["closed"])
        start.port.close()
      })
    }
    imported = loop.register(start.callbacks)
  } catch (error) {
    return fail(error)
  }
  // Not in the frame above: what goes wrong from here on ends the thread, and its session says with what.
  if (imported === undefined) {
    ready()
  } else {
    void imported.then(ready, fail)
  }
}
