/** A server that is given no database makes one. */
import { readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient } from "@sluice/mapepire"
import { MapepireServer } from "@sluice/mapepire-server"
import { SqlClient } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { temporary } from "./support.js"

const config = { port: 0, users: { DEV: "secret" } }

const directories = () => readdirSync(tmpdir()).filter((name) => name.startsWith(`sluice-mapepire-${process.pid}-`))

const rowsOf = ({ certificate, commonName, port }: MapepireServer.MapepireServer, text: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text).values).pipe(
    Effect.provide(
      MapepireClient.layer({
        host: "127.0.0.1",
        port,
        user: "DEV",
        password: Redacted.make("secret"),
        tls: { ca: certificate, servername: commonName }
      })
    )
  )

const serverOf = <R>(layer: Layer.Layer<MapepireServer.MapepireServer, MapepireServer.MapepireServerError, R>) =>
  Effect.map(Layer.build(layer), (context) => Context.get(context, MapepireServer.MapepireServer))

describe("without a transport", () => {
  it.live("the sample tables are served from a file that all sockets share, and that goes with the server", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(serverOf(MapepireServer.layer({ ...config, tls: {} })), scope)
      assert.strictEqual(directories().length, 1)
      assert.deepStrictEqual(yield* rowsOf(server, "select count(*) from sample.employee"), [[11]])
      yield* rowsOf(server, "create table shop.notes (n int)")
      yield* rowsOf(server, "insert into shop.notes values (7)")
      // Another client, so another socket and another session.
      assert.deepStrictEqual(yield* rowsOf(server, "select n from shop.notes"), [[7]])
      yield* Scope.close(scope, Exit.void)
      assert.isEmpty(directories())
    })
  )

  it.scopedLive("two servers have a database each", () =>
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([
        serverOf(MapepireServer.layer(config)),
        serverOf(MapepireServer.layer(config))
      ])
      yield* rowsOf(one, "delete from sample.sales")
      assert.deepStrictEqual(yield* rowsOf(two, "select count(*) from sample.sales"), [[8]])
    })
  )

  it.scopedLive("a seed of one's own takes the place of the sample", () =>
    Effect.gen(function* () {
      const seed = ["create table shop.orders (id int not null primary key)", "insert into shop.orders values (1), (2)"]
      const server = yield* serverOf(MapepireServer.layer({ ...config, seed }))
      assert.deepStrictEqual(yield* rowsOf(server, "select id from shop.orders order by id"), [[1], [2]])
      assert.match(String(yield* Effect.flip(rowsOf(server, "select * from sample.employee"))), /SQL0204/)
    })
  )

  it.live("nothing is left when it cannot be started", () =>
    Effect.gen(function* () {
      const failed = yield* Effect.flip(
        Effect.scoped(serverOf(MapepireServer.layer({ ...config, seed: ["create nonsense"] })))
      )
      assert.strictEqual(failed.reason, "Seed")
      assert.isEmpty(directories())
    })
  )
})

describe("with a transport", () => {
  it.scopedLive("that one is served, and nothing is put into it", () =>
    Effect.gen(function* () {
      const filename = join(yield* temporary, "mine.db")
      const server = yield* serverOf(
        MapepireServer.layer(config).pipe(Layer.provide(SqliteTransport.layer({ filename })))
      )
      assert.isEmpty(directories())
      yield* rowsOf(server, "create table notes (n int)")
      assert.match(String(yield* Effect.flip(rowsOf(server, "select * from sample.employee"))), /SQL0204/)
    })
  )
})
