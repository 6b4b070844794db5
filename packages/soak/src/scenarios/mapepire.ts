/** A client, a line to a daemon that can be cut, and the daemon: what the scenarios of Mapepire share. */
import { join } from "node:path"
import { MapepireClient } from "@sluice/mapepire"
import { SqlClient, type SqlFailure } from "@sluice/sql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { startDaemon } from "../daemon.js"
import { Ledger } from "../ledger.js"
import { lives } from "../life.js"
import type { Place } from "../life/place.js"
import { makeProxy, type Proxy } from "../proxy.js"
import type { Soak } from "../soak.js"
import { compare } from "./sqlite.js"

const endless =
  "with spin(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from spin) select count(*) as n from spin"

/** What losing the line brings, and what Db2 and the server answer to those who write at the same time. */
const reasons: ReadonlySet<SqlFailure.Reason> = new Set([
  "SessionLost",
  "TransactionGone",
  "Connection",
  "Deadlock",
  "Serialization",
  "LockTimeout"
])
const expected = ({ reason }: SqlFailure.SqlFailure): boolean => reasons.has(reason)

const open = (soak: Soak, proxy: Proxy, multiplex: number | undefined) => {
  const { random } = soak
  const config: MapepireClient.MapepireClientConfig = {
    host: "127.0.0.1",
    port: proxy.port,
    secure: false,
    user: "DEV",
    password: Redacted.make("dev"),
    sessions: random.between(1, 4),
    transactions: random.between(1, 4),
    multiplex,
    grace: "5 seconds"
  }
  return Effect.map(Layer.build(MapepireClient.layer(config)), (context) => Context.get(context, SqlClient.SqlClient))
}

/** Takes the pages of a long result as if there were all the time in the world; a cut line is the end of it. */
const slowly = (sql: SqlClient.SqlClient, soak: Soak) =>
  Effect.gen(function* () {
    const random = soak.random.fork(4_000)
    while (!soak.over()) {
      let last = 0
      soak.count("slow streams")
      const rows = SqlClient.withPrefetch(20)(sql<{ n: number }>`select n from numbers order by n`).stream
      const consumed = rows.pipe(
        Stream.takeWhile(() => !soak.over()),
        Stream.runForEachChunk((chunk) => {
          for (const { n } of chunk) {
            if (n !== ++last) {
              soak.breach(`a slow stream gave row ${n} after row ${last - 1}`)
            }
          }
          return Effect.sleep(random.between(1, 80))
        })
      )
      const exit = yield* soak.watched("a slow stream", Effect.either(consumed))
      if (exit._tag === "Left") {
        yield* Effect.sleep(50)
      }
    }
  })

export const troubled = (
  soak: Soak,
  trouble: (proxy: Proxy, restart: Effect.Effect<void, Error>) => Effect.Effect<void, Error>
): Effect.Effect<void, unknown> =>
  Effect.scoped(
    Effect.gen(function* () {
      const filename = join(soak.directory, "daemon.db")
      const scope = yield* Effect.scope
      const proxy = yield* makeProxy(soak.random.fork(5_000))
      let current = yield* startDaemon(filename, soak)
      proxy.target = current.port
      const restart = Effect.gen(function* () {
        proxy.target = undefined
        yield* current.end(soak.random.chance(0.7) ? "SIGKILL" : "SIGTERM")
        // Whoever connects meanwhile finds nobody.
        yield* Effect.sleep(soak.random.between(0, 200))
        current = yield* Scope.extend(startDaemon(filename, soak), scope)
        proxy.target = current.port
        soak.count("daemons restarted")
      })
      const ledger = new Ledger()
      const worked = Effect.gen(function* () {
        const multiplex = soak.random.chance(0.3) ? soak.random.between(2, 6) : undefined
        const sql = yield* open(soak, proxy, multiplex)
        const place: Place = {
          sql,
          endless,
          alone: multiplex === undefined,
          expected,
          manyIsWhole: false,
          seesItsCommits: true
        }
        const troubling = yield* Effect.fork(trouble(proxy, restart))
        yield* Effect.zip(lives(place, ledger, soak, soak.random.between(2, 9)), slowly(sql, soak), {
          concurrent: true
        })
        yield* Fiber.join(troubling)
        yield* answers(sql, soak)
        for (const { leases, lost, name, waiting } of yield* sql.statistics) {
          soak.count("sessions lost", lost)
          if (leases > 0 || waiting > 0) {
            soak.breach(`the pool of ${name} sessions still has ${leases} leases and ${waiting} who wait`)
          }
        }
      })
      yield* Effect.scoped(worked)
      yield* current.end("SIGKILL")
      compare(soak, filename, ledger)
    })
  )

/** Once the trouble is over the client works; sessions that were lost in it may still have to be found out. */
const answers = (sql: SqlClient.SqlClient, soak: Soak) =>
  soak
    .watched("a query after the trouble", Effect.retry(sql`select n from counter`, { times: 10 }))
    .pipe(Effect.catchAll((error) => Effect.sync(() => soak.breach(`the client does not come back: ${error.message}`))))
