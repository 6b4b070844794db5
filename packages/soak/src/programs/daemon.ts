/**
 * A Mapepire daemon over a SQLite file, to be killed and started again. Its argument says which file; it tells its port in a
 * line, and ends with its parent: when its input does.
 */
import { existsSync } from "node:fs"
import { MapepireServer } from "@sluice/mapepire-server"
import { SqliteTransport } from "@sluice/sqlite"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { tables } from "../tables.js"

const filename = process.argv[2] ?? ""

const program = Effect.gen(function* () {
  const { port } = yield* MapepireServer.MapepireServer
  yield* Effect.sync(() => void process.stdout.write(`${port}\n`))
  return yield* Effect.never
}).pipe(
  Effect.provide(
    MapepireServer.layer({
      port: 0,
      tls: false,
      users: { DEV: "dev" },
      onDisconnect: "stop",
      seed: existsSync(filename) ? [] : tables
    }).pipe(Layer.provide(SqliteTransport.layer({ filename, busyTimeout: "10 seconds" })))
  )
)

const serving = Effect.runFork(program)

serving.addObserver((exit) => {
  if (exit._tag === "Failure" && !Cause.isInterruptedOnly(exit.cause)) {
    console.error(`The daemon has failed: ${Cause.pretty(exit.cause)}`)
    process.exit(1)
  }
  process.exit(0)
})
process.on("SIGTERM", () => Effect.runFork(Fiber.interrupt(serving)))
// Not process.exit, which waits for a thread whose statement does not end.
process.stdin.on("end", () => process.kill(process.pid, "SIGKILL")).resume()
