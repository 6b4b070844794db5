/** A backup of a file that is written to meanwhile: what the event loop notices of it. */
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Fiber, Stream } from "effect"
import { format } from "../harness.mjs"
import { loopDelay, sleep } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

const megabytes = 200
const cell = `${megabytes} MB, a row written every 5 ms`

const fill = (sql, size) =>
  sql.unsafe(
    `with recursive up(n) as (select 1 union all select n + 1 from up limit ${size})
     insert into t(b) select randomblob(1000000) from up`
  )

const backup = ({ quick }) => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))
  const destination = join(folder, "copy.db")
  const measured = withClient({ filename: join(folder, "source.db") }, (sql) =>
    Effect.gen(function* () {
      yield* sql`create table t (id integer primary key, b blob)`
      yield* fill(sql, quick ? megabytes / 4 : megabytes)
      const idle = yield* Effect.promise(() => loopDelay(() => sleep(1000)))
      let written = 0
      const writer = yield* Effect.forkDaemon(
        Effect.forever(
          Effect.zipRight(
            sql`insert into t(b) values (zeroblob(500))`,
            Effect.zipRight(
              Effect.sync(() => written++),
              Effect.sleep(5)
            )
          )
        )
      )
      const start = performance.now()
      const delay = yield* Effect.promise(() =>
        loopDelay(() => Effect.runPromise(Stream.runDrain(sql.backupStream(destination))))
      )
      const seconds = (performance.now() - start) / 1000
      yield* Fiber.interrupt(writer)
      const speed = statSync(destination).size / 1e6 / seconds
      return { idle: idle.p99, busy: delay.p99, max: delay.max, speed, written: written / seconds }
    })
  )
  return measured.finally(() => rmSync(folder, { recursive: true, force: true }))
}

export default {
  name: "backup",
  title: `Backup of a file of ${megabytes} MB while it is written to (loop delay by a 1 ms timer, its own period included)`,
  rounds: () => 1,
  cells: () => [{ name: cell, run: backup }],
  metrics: [
    { key: "idle", label: "idle p99", unit: "ms", spread: false },
    { key: "busy", label: "p99", unit: "ms", spread: false },
    { key: "max", label: "max", unit: "ms", spread: false },
    { key: "speed", label: "copied", unit: "MB/s", better: "high", spread: false },
    { key: "written", label: "rows written", unit: "/s", better: "high", spread: false }
  ],
  bars: ({ median }) => {
    const busy = median(cell, "busy")
    return [{ bar: "loop delay p99 under 5 ms", figure: format(busy, "ms"), met: busy < 5 }]
  }
}
