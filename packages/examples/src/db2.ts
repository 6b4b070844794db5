import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { MapepireClient } from "@sluice/mapepire"
import { MapepireServer } from "@sluice/mapepire-server"
import { SqlClient } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Console, Effect, Layer, Redacted, Stream } from "effect"

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const raised = sql`update employee set salary = salary + ${100} where workdept = ${"B20"}`.pipe(
    Effect.zipRight(sql`select lastname, salary from employee where workdept = ${"B20"}`),
    sql.withTransaction
  )
  yield* Console.log(yield* raised)
  yield* sql`select empno, lastname, hiredate from employee order by empno`.stream.pipe(
    Stream.take(3),
    Stream.runForEach(Console.log)
  )
}).pipe(SqlClient.withDeadline("5 seconds"))

// A daemon to try it on, over a SQLite file that is gone afterwards. With an IBM i all of this is only
// MapepireClient.layer({ host, user, password, tls: { fingerprint } }).
const password = Redacted.make("secret")
const Database = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  return SqliteTransport.layer({ filename: `${yield* fs.makeTempDirectoryScoped()}/sample.db` })
}).pipe(Layer.unwrapScoped, Layer.provide(NodeFileSystem.layer))
const Server = MapepireServer.layer({ port: 0, users: { ADA: password }, seed: MapepireServer.sample })
const Db2 = Effect.gen(function* () {
  const { certificate, commonName, host, port } = yield* MapepireServer.MapepireServer
  return MapepireClient.layer({ host, port, user: "ADA", password, tls: { ca: certificate, servername: commonName } })
}).pipe(Layer.unwrapEffect, Layer.provide(Server), Layer.provide(Database))

program.pipe(Effect.provide(Db2), Effect.runPromise).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
