/**
 * The tour: what Sluice does, on real data, in a few seconds.
 *
 *     npm start [-- --keep]
 */
import { FileSystem } from "@effect/platform"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { SqliteClient } from "@sluice/sqlite"
import { Cause, Console, Effect, Option } from "effect"
import { parseArgs } from "node:util"
import { ask } from "./tour/ask.js"
import { load } from "./tour/load.js"
import { parallel } from "./tour/parallel.js"
import * as Report from "./tour/report.js"
import { stop } from "./tour/stop.js"
import { stream } from "./tour/stream.js"
import { transaction } from "./tour/transaction.js"

const usage = `npm start [-- --keep]

  --keep   leave the database behind and say where it is`

const chapters = Effect.gen(function* () {
  const { engine } = yield* SqliteClient.SqliteClient
  yield* Report.title("Sluice", [`SQLite ${engine.version}`, `${engine.kind} engine`, `Node ${process.versions.node}`])
  yield* load
  yield* ask
  yield* stream
  yield* stop
  yield* transaction
  yield* parallel
})

const tour = (keep: boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* keep
      ? fs.makeTempDirectory({ prefix: "sluice-tour-" })
      : fs.makeTempDirectoryScoped({ prefix: "sluice-tour-" })
    const filename = `${directory}/flights.db`
    const [took] = yield* chapters.pipe(Effect.provide(SqliteClient.layer({ filename, readers: 2 })), Effect.timed)
    const rest = keep ? `The database is ${filename}` : "Nothing was left behind"
    yield* Console.log(`\n  Done in ${Report.time(took)}. ${rest}.\n`)
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

/** What was foreseen has a message; a defect is shown with its stack. */
const explain = (cause: Cause.Cause<unknown>) =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => Cause.pretty(cause),
    onSome: (error) => (error instanceof Error ? error.message : String(error))
  })

const main = Effect.try({
  try: () => parseArgs({ options: { keep: { type: "boolean" }, help: { type: "boolean", short: "h" } } }).values,
  catch: (error) => new Cause.IllegalArgumentException(`${(error as Error).message}\n\n${usage}`)
}).pipe(
  Effect.flatMap(({ help, keep }) => (help === true ? Console.log(usage) : tour(keep === true))),
  Effect.tapErrorCause((cause) =>
    Cause.isInterruptedOnly(cause) ? Effect.void : Console.error(`\nThe tour has failed: ${explain(cause)}`)
  )
)

// Said above, and better; what remains is the exit code.
NodeRuntime.runMain(main, { disableErrorReporting: true })
