/** What the SQLite client has beyond `SqlClient`: made from the client and its transport. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import { type SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SqliteTransport } from "../SqliteTransport.js"
import { type BackupDestination, makeBackup } from "./backup.js"
import type { Settled } from "./batchValue.js"
import type { BatchResult } from "./boundary.js"
import { make as makeBlobs } from "./blob/make.js"
import { makeApply } from "./changeset/apply.js"
import { makeSession } from "./changeset/session.js"
import { countersOf, type StatementCounters } from "./counters.js"
import { deadline } from "./deadline.js"
import { makeDecoder, readColumns, views } from "./decoder.js"
import { deserialize } from "./deserialize.js"
import { makeExplain } from "./explain.js"
import { nulInText, parameterFailure, sqliteFailure } from "./failure.js"
import { encode, ParameterError } from "./parameters.js"
import { onWriter as makeOnWriter } from "./onWriter.js"
import { firstStatement } from "./split.js"

/** Which engine runs SQLite: the native pump, which can stop inside a statement, or the portable one. */
export interface EngineInfo {
  readonly kind: "native" | "portable"
  /** Of SQLite, such as "3.50.4". */
  readonly version: string
}

type Row = Readonly<Record<string, unknown>>

/** COMMIT, END, and ROLLBACK of more than a savepoint. */
const endsTransaction = (text: string): boolean => {
  const words = firstStatement(text)?.words ?? []
  return words[0] === "COMMIT" || words[0] === "END" || (words[0] === "ROLLBACK" && !words.includes("TO"))
}

const rowsOf = (pages: ReadonlyArray<ArrayBuffer>): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  let decoder = makeDecoder([])
  for (const page of pages) {
    const source = views(page, true)
    const columns = readColumns(source, 0)
    if (columns !== undefined) {
      decoder = makeDecoder(columns)
    }
    for (const row of decoder.decode(source, 0, "objects", "number")) {
      rows.push(row as Row)
    }
  }
  return rows
}

export const make = (client: SqlClient.SqlClient, transport: SqliteTransport) => {
  const { filename } = transport.config
  const engine: EngineInfo = transport.sessions()[0]!.engine

  const onWriter = makeOnWriter(client)

  const { busyTimeout } = transport.config
  const serialize = Effect.map(
    onWriter((session) => session.command({ _tag: "Export" })),
    (bytes) => new Uint8Array(bytes as ArrayBuffer)
  )

  const patience = busyTimeout === undefined ? 5_000 : Duration.toMillis(busyTimeout)
  const backupStream = makeBackup(onWriter, serialize, patience)

  const inspect = () => {
    const sessions = transport.sessions().map(({ session }) => ({ id: session.id, state: session.state }))
    const state = sessions.length === 0 ? "closed" : sessions.some((s) => s.state === "busy") ? "busy" : "open"
    return { _id: "@sluice/sqlite/SqliteClient", filename, engine, state, sessions }
  }

  return {
    engine,

    export: serialize,
    serialize,
    deserialize: (bytes: Uint8Array) =>
      deserialize(filename, bytes, (image) =>
        onWriter((session) => session.command({ _tag: "Deserialize", image }, [image]))
      ),

    snapshot: <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
      // A deferred transaction begins with its first read.
      client.transaction({ readOnly: true })(
        Effect.zipRight(client.unsafe("select 1 from sqlite_schema limit 1").unprepared, effect)
      ),

    explain: makeExplain(client, transport.compiler),

    ...makeBlobs(onWriter),
    changeSession: makeSession(onWriter),
    applyChangeset: makeApply(client, onWriter),

    counters: (statement: Statement.Fragment | string): Effect.Effect<StatementCounters, SqlError> =>
      Effect.suspend(() => {
        const [text, params] =
          typeof statement === "string" ? [statement, []] : transport.compiler.compile(statement, false)
        const counted = SqlTransport.request(text, { params, transaction: "free", counters: true })
        const run = Effect.flatMap(deadline, (at) =>
          Effect.scoped(Effect.flatMap(client.session, (session) => session.run({ ...counted, deadline: at })))
        )
        return engine.kind === "portable"
          ? Effect.fail(SqlFailure.make({ reason: "Unsupported", message: "Counters need the native engine" }))
          : // A text without a statement has none.
            Effect.map(run, (answer) => (answer.counters as StatementCounters | undefined) ?? countersOf([]))
      }),

    backupStream,
    backup: (destination: BackupDestination) =>
      Effect.map(Stream.runLast(backupStream(destination)), (last) => {
        const { pageCount, remaining } = Option.getOrThrow(last)
        return { totalPages: pageCount, remainingPages: remaining }
      }),

    loadExtension: (path: string) => transport.addExtension(path),

    pragma: (name: string, value?: string | number | boolean): Effect.Effect<unknown, SqlError> =>
      Effect.suspend(() => {
        if (!/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$/.test(name)) {
          return Effect.fail(
            SqlFailure.make({ reason: "InvalidParameter", message: `"${name}" is no name of a PRAGMA` })
          )
        }
        const assigned =
          value === undefined
            ? ""
            : `=${typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : Number(value)}`
        return Effect.map(client.unsafe(`PRAGMA ${name}${assigned}`).values, (rows) => rows[0]?.[0])
      }),

    attach: (filename: string, schema: string): Effect.Effect<void, SqlError> =>
      Effect.asVoid(client.unsafe(`ATTACH ? AS ${`"${schema.replaceAll('"', '""')}"`}`, [filename])),

    batch: (statements: ReadonlyArray<Statement.Fragment | string>) =>
      Effect.suspend((): Effect.Effect<ReadonlyArray<ReadonlyArray<Row>>, SqlError> => {
        const members: Array<{ text: string; parameters: ArrayBuffer; count: number }> = []
        for (const [index, statement] of statements.entries()) {
          const [text, params] =
            typeof statement === "string" ? [statement, []] : transport.compiler.compile(statement, false)
          if (endsTransaction(text)) {
            const message = "A batch is one transaction, which none of its statements may end"
            return Effect.fail(SqlFailure.make({ reason: "Unsupported", message, statement: text, failedRow: index }))
          }
          if (text.includes("\0")) {
            return Effect.fail(SqlFailure.annotate(nulInText(text), { failedRow: index }))
          }
          try {
            members.push({ text, parameters: encode(params), count: params.length })
          } catch (error) {
            if (!(error instanceof ParameterError)) {
              throw error
            }
            return Effect.fail(SqlFailure.annotate(parameterFailure(error, text), { failedRow: index }))
          }
        }
        const run = Effect.flatMap(deadline, (at) =>
          onWriter((session) => session.command({ _tag: "Batch", statements: members }, undefined, at))
        )
        return Effect.flatMap(run as Effect.Effect<Settled<BatchResult>, SqlError>, (result) => {
          const { error, failed, failure } = result
          const answer =
            error !== undefined
              ? Effect.fail(
                  SqlFailure.annotate(failure ?? sqliteFailure(error, members[failed!]?.text), { failedRow: failed })
                )
              : failure !== undefined
                ? Effect.fail(failure)
                : Effect.succeed(result.pages.map(rowsOf))
          // The client learns from a statement's answer that nothing may run on readers any more.
          return result.private ? Effect.zipRight(client.unsafe("SELECT 1").unprepared, answer) : answer
        })
      }),

    interrupt: Effect.suspend(() =>
      Effect.forEach(transport.sessions(), ({ session }) => session.interrupt, { discard: true })
    ),

    toJSON: inspect,
    [NodeInspectSymbol]: inspect
  }
}
