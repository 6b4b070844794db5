/**
 * The tour: what Sluice does, on real data, in some ten seconds; first on SQLite, then on Db2 for i through Mapepire. The
 * program (`tour/chapters.ts`) is the same, only the layers (`tour/layers.ts`) differ.
 *
 *     npm start [-- --keep]
 */
import { FileSystem } from "@effect/platform"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Option } from "effect"
import { parseArgs } from "node:util"
import { chapters } from "./tour/chapters.js"
import { mapepire, sqlite } from "./tour/layers.js"
import * as Report from "./tour/report.js"

const usage = `npm start [-- --keep]

  --keep   leave the databases behind and say where they are`

const tour = (keep: boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* keep
      ? fs.makeTempDirectory({ prefix: "sluice-tour-" })
      : fs.makeTempDirectoryScoped({ prefix: "sluice-tour-" })
    const files = [`${directory}/flights.db`, `${directory}/mapepire.db`] as const
    const [took] = yield* chapters.pipe(
      Effect.provide(sqlite(files[0])),
      Effect.zipRight(Effect.provide(chapters, mapepire(files[1]))),
      Effect.timed
    )
    const rest = keep ? `The databases are ${files.join(" and ")}` : "Nothing was left behind"
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
