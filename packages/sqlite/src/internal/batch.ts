/** `SqliteClient.batch`: several statements in one round trip and one transaction. */
import { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import { type SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type { Settled } from "./batchValue.js"
import type { BatchResult, BatchStatement } from "./messages.js"
import { type Integers, makeDecoder, readColumns, UnsafeIntegerError, views } from "./decoder.js"
import { parameterFailure, sqliteFailure, unsafeInteger, unsendableText, wrongCount } from "./failure.js"
import { learnPrivate, type OnWriter } from "./onWriter.js"
import { encode, ParameterError } from "./parameters.js"
import { firstStatement } from "./split.js"
import { unsendable } from "./statementCache.js"

type Row = Readonly<Record<string, unknown>>
type Rows = ReadonlyArray<Row>

export type TransformRows = ((rows: ReadonlyArray<object>) => ReadonlyArray<object>) | undefined

/** COMMIT, END, and ROLLBACK of more than a savepoint. */
const endsTransaction = (text: string): boolean => {
  const words = firstStatement(text)?.words ?? []
  return words[0] === "COMMIT" || words[0] === "END" || (words[0] === "ROLLBACK" && !words.includes("TO"))
}

/** Throws the failure of a statement that cannot be sent. */
const member = (text: string, params: ReadonlyArray<unknown>): BatchStatement => {
  if (endsTransaction(text)) {
    const message = "A batch is one transaction, which none of its statements may end"
    throw SqlFailure.make({ reason: "Unsupported", message, statement: text })
  }
  const wrong = unsendable(text)
  if (wrong !== undefined) {
    throw unsendableText(wrong, text)
  }
  try {
    return { text, parameters: encode(params), count: params.length }
  } catch (error) {
    throw error instanceof ParameterError ? parameterFailure(error, text) : error
  }
}

/** Throws the failure of an integer that is no number. */
const rowsOf = (pages: ReadonlyArray<ArrayBuffer>, integers: Integers, text: string): Rows => {
  const rows: Array<Row> = []
  let decoder = makeDecoder([])
  for (const page of pages) {
    const source = views(page, true)
    const columns = readColumns(source, 0)
    if (columns !== undefined) {
      decoder = makeDecoder(columns)
    }
    try {
      for (const row of decoder.decode(source, 0, "objects", integers)) {
        rows.push(row as Row)
      }
    } catch (error) {
      throw error instanceof UnsafeIntegerError
        ? SqlFailure.annotate(unsafeInteger(error.column, text), { outcome: "executed" })
        : error
    }
  }
  return rows
}

/** Each by itself; the failure that one throws tells which it was. */
const each = <A, B>(
  all: ReadonlyArray<A>,
  make: (one: A, index: number) => B
): Effect.Effect<ReadonlyArray<B>, SqlError> =>
  Effect.suspend(() => {
    const made: Array<B> = []
    for (const [index, one] of all.entries()) {
      try {
        made.push(make(one, index))
      } catch (error) {
        if (!(error instanceof SqlError)) {
          throw error
        }
        return Effect.fail(SqlFailure.annotate(error, { failedRow: index }))
      }
    }
    return Effect.succeed(made)
  })

const failureOf = ({ error, failed, failure }: Settled<BatchResult>, sent: ReadonlyArray<BatchStatement>) => {
  if (error === undefined) {
    return failure
  }
  const at = failed === undefined ? undefined : sent[failed]
  const own =
    at !== undefined && error.wanted !== undefined
      ? wrongCount(error.wanted, at.count, at.text)
      : sqliteFailure(error, at?.text)
  return SqlFailure.annotate(failure ?? own, { failedRow: failed })
}

/** For the client with transforms, and for the one without. */
export const makeBatch =
  (onWriter: OnWriter, client: SqlClient.SqlClient, compiler: Statement.Compiler) =>
  (transformRows: TransformRows) => ({
    batch: (statements: ReadonlyArray<Statement.Fragment | string>): Effect.Effect<ReadonlyArray<Rows>, SqlError> => {
      const members = each(statements, (statement) => {
        const compiled = SqlTransport.compile(compiler, statement)
        if (compiled instanceof SqlError) {
          throw compiled
        }
        return member(...compiled)
      })
      const answerOf = (
        result: Settled<BatchResult>,
        sent: ReadonlyArray<BatchStatement>,
        integers: Integers
      ): Effect.Effect<ReadonlyArray<Rows>, SqlError> => {
        const failed = failureOf(result, sent)
        return failed !== undefined
          ? Effect.fail(failed)
          : each(result.pages, (pages, index) => {
              const rows = rowsOf(pages, integers, sent[index]!.text)
              return transformRows === undefined ? rows : (transformRows(rows) as Rows)
            })
      }
      return Effect.flatMap(members, (sent) =>
        Effect.suspend(() => {
          let isPrivate = false
          const run = onWriter(
            (session, request) =>
              Effect.flatMap(session.command({ _tag: "Batch", statements: sent }, undefined, request), (value) => {
                const result = value as Settled<BatchResult>
                isPrivate = result.private
                return answerOf(result, sent, request.integers)
              }),
            sent.map(({ text }) => text)
          )
          const learn = Effect.suspend(() => (isPrivate ? learnPrivate(client) : Effect.void))
          return Effect.tapBoth(run, { onFailure: () => learn, onSuccess: () => learn })
        })
      )
    }
  })
