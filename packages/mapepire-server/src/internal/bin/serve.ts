/** What the command does: a database, a server over it, and a few lines about how to reach it. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as MapepireServer from "../../MapepireServer.js"
import { defaultRules, isRefused } from "../signOn.js"
import { directory as temporary } from "../temporary.js"
import { isUser, parseUsers, type Users } from "./users.js"

export interface Options {
  readonly port: number
  readonly host: string
  readonly file: Option.Option<string>
  readonly user: Option.Option<string>
  readonly password: Option.Option<Redacted.Redacted<string>>
  readonly users: Option.Option<string>
  readonly plain: boolean
  readonly cert: Option.Option<string>
  readonly key: Option.Option<string>
  readonly daemon: string
}

/** The command was called in a way that makes no sense. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

const usage = (message: string) => Effect.fail(new UsageError({ message }))

const read = (path: string): Effect.Effect<string, UsageError> =>
  Effect.try({
    try: () => readFileSync(path, "utf8"),
    catch: (error) => new UsageError({ message: `Cannot read ${path}: ${error instanceof Error ? error.message : ""}` })
  })

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.")

/** Good enough on a loopback address, where nobody else can connect. */
const wellKnown = { user: "DEV", password: "dev" }

const usersOf = (options: Options): Effect.Effect<Admitted, UsageError> => {
  if (Option.isSome(options.users)) {
    if (Option.isSome(options.user) || Option.isSome(options.password)) {
      return usage("Give either --users or --user and --password")
    }
    const path = options.users.value
    return Effect.flatMap(read(path), (text) => {
      const users = parseUsers(text)
      if ("wrongLine" in users && typeof users.wrongLine === "number") {
        const why =
          users.repeats === true
            ? "this user has a line already"
            : "expected USER:PASSWORD, without : or ; in the password"
        return usage(`${path}, line ${users.wrongLine}: ${why}`)
      }
      return Object.keys(users).length === 0
        ? usage(`${path} names nobody who could sign on: expected lines USER:PASSWORD`)
        : admitted({ users: users as Users, shown: `one of ${path}` })
    })
  }
  const user = Option.getOrElse(options.user, () => wellKnown.user).toUpperCase()
  if (Option.isNone(options.password)) {
    return isLoopback(options.host)
      ? named(user, Redacted.make(wellKnown.password), wellKnown.password)
      : usage(`On ${options.host} others can connect: choose a --password, or --users`)
  }
  return named(user, options.password.value, "as given")
}

interface Admitted {
  readonly users: Users
  readonly shown: string
}

const named = (
  user: string,
  password: Redacted.Redacted<string>,
  shown: string
): Effect.Effect<Admitted, UsageError> => {
  if (!isUser(`${user}:anything`)) {
    return usage("The protocol cannot carry a --user that is empty or has blanks or one of : ; *")
  }
  return isUser(`${user}:${Redacted.value(password)}`)
    ? admitted({ users: { [user]: password }, shown: `${user} / ${shown}` })
    : usage("The protocol cannot carry a password that is empty or has : or ;")
}

/** The daemon's rules come before passwords. */
const admitted = (given: Admitted): Effect.Effect<Admitted, UsageError> =>
  Object.keys(given.users).every((user) => isRefused(defaultRules, user, "127.0.0.1"))
    ? usage("The daemon's rules let nobody sign on whose name begins with Q")
    : Effect.succeed(given)

/** Every connection opens the database for itself, so it must be a file, and one of SQLite's. */
const databaseOf = (filename: string): Effect.Effect<SqlTransport.SqlTransport, UsageError> => {
  const transport = SqliteTransport.make({ filename })
  if (filename === "" || filename === ":memory:" || filename.startsWith("file:")) {
    return usage("--file takes the path of a file: in memory every connection would have another, empty database")
  }
  return transport.connect({ access: "write", use: "statement" }).pipe(
    Effect.flatMap((session) => session.run(SqlTransport.request("SELECT count(*) FROM sqlite_schema"))),
    Effect.scoped,
    Effect.mapError(
      (error) => new UsageError({ message: `Cannot serve ${filename}: ${SqlFailure.from(error).message}` })
    ),
    Effect.as(transport)
  )
}

const tlsOf = (options: Options): Effect.Effect<MapepireServer.Tls | false, UsageError> => {
  if (options.plain) {
    return Option.isSome(options.cert) || Option.isSome(options.key)
      ? usage("--plain goes without --cert and --key")
      : Effect.succeed(false)
  }
  if (Option.isSome(options.cert) !== Option.isSome(options.key)) {
    return usage("--cert and --key go together")
  }
  return Option.isSome(options.cert) && Option.isSome(options.key)
    ? Effect.all({ cert: read(options.cert.value), key: read(options.key.value) })
    : Effect.succeed({})
}

/** Serves until it is interrupted. */
export const serve = (options: Options) =>
  Effect.gen(function* () {
    if (options.port < 0 || options.port > 65_535) {
      return yield* usage("--port must be from 0 to 65535")
    }
    const { shown, users } = yield* usersOf(options)
    const tls = yield* tlsOf(options)
    const directory = yield* temporary("sluice-mapepire-")
    const filename = Option.getOrElse(options.file, () => join(directory, "sample.db"))
    const empty = !existsSync(filename)
    const transport = yield* databaseOf(filename)
    // Layers are released before the directory: the database must be closed when its files go.
    const context = yield* Layer.build(
      MapepireServer.layer({
        port: options.port,
        host: options.host,
        tls,
        users,
        version: options.daemon,
        onDisconnect: "stop",
        seed: empty ? MapepireServer.sample : []
      }).pipe(Layer.provide(Layer.succeed(SqlTransport.SqlTransport, transport)))
    )
    const server = Effect.runSync(Effect.provide(MapepireServer.MapepireServer, context))
    const certificate = join(directory, "server.crt")
    if (server.certificate !== "") {
      writeFileSync(certificate, server.certificate)
    }
    yield* Console.log(
      [
        `Mapepire at ${server.url} (a development server over SQLite, no IBM i)`,
        `  database     ${filename}${Option.isNone(options.file) ? " (temporary)" : ""}`,
        `  user         ${shown}`,
        ...(server.certificate === ""
          ? []
          : [`  certificate  ${certificate} (its name: ${server.commonName})`, `  fingerprint  ${server.fingerprint}`]),
        ...(empty ? ["  try          select * from sample.department"] : []),
        "Ctrl-C ends it."
      ].join("\n")
    )
    return yield* Effect.never
  }).pipe(Effect.scoped)
