/** The two databases of the tour. They are layers, and nothing else of the program changes. */
import { MapepireClient } from "@sluice/mapepire"
import { MapepireServer } from "@sluice/mapepire-server"
import { SqliteClient, SqliteTransport } from "@sluice/sqlite"
import { Effect, Layer, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { Place } from "./place.js"

/** A SQLite file, each session on a thread of its own. */
export const sqlite = (filename: string) =>
  Layer.effect(
    Place,
    Effect.map(SqliteClient.SqliteClient, ({ engine }) => ({
      name: "SQLite",
      facts: [`SQLite ${engine.version}`, `${engine.kind} engine`, `Node ${process.versions.node}`],
      sharing: "two readers beside a writer, on one file",
      stopsBetweenRows: engine.kind === "portable"
    }))
  ).pipe(Layer.provideMerge(SqliteClient.layer({ filename, readers: 2 })))

/** Db2 for i, or what serves in its place here: a Mapepire server in this process, reached over TLS like any other. */
export const mapepire = (filename: string) => {
  const password = Redacted.make(randomBytes(16).toString("hex"))
  const Server = MapepireServer.layer({ port: 0, users: { TOUR: password } }).pipe(
    Layer.provide(SqliteTransport.layer({ filename }))
  )
  const Client = Layer.unwrapEffect(
    Effect.map(MapepireServer.MapepireServer, ({ certificate, commonName, host, port }) =>
      MapepireClient.layer({
        host,
        port,
        user: "TOUR",
        password,
        tls: { ca: certificate, servername: commonName }
      })
    )
  )
  const Here = Layer.effect(
    Place,
    Effect.gen(function* () {
      const { url } = yield* MapepireServer.MapepireServer
      const sql = yield* MapepireClient.MapepireClient
      const version = yield* Effect.scoped(Effect.flatMap(sql.job, (job) => job.version))
      return {
        name: "Db2 for i, through Mapepire",
        facts: [url, `stood in for by a server over SQLite, as daemon ${version.version}`],
        sharing: "readers beside a writer, each on a job of its own",
        stopsBetweenRows: (yield* engine) === "portable"
      }
    })
  )
  return Here.pipe(Layer.provideMerge(Client), Layer.provide(Server))
}

/** Of every SQLite that is opened in this process. */
const engine = Effect.map(SqliteClient.SqliteClient, (sql) => sql.engine.kind).pipe(
  Effect.provide(SqliteClient.layerMemory)
)
