/** Answers from a recording, without the database that gave them. */
import * as FileSystem from "@effect/platform/FileSystem"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberRef from "effect/FiberRef"
import type * as Scope from "effect/Scope"
import * as SqlFailure from "../../SqlFailure.js"
import type * as SqlTransport from "../../SqlTransport.js"
import { sqliteCompiler } from "../compiler.js"
import { around, byText, type Command, InControl, OpenTransaction, parse } from "./control.js"
import type { AnswerData, ControlData, RecordingData, RowData, Way } from "./recordingFile.js"
import { isOther, read } from "./recordingFile.js"
import { Recorded } from "./recorded.js"
import { answer, cursor, cut, type Facts, fromArrays, type Row, type Rows } from "./rows.js"
import { decode, type Json } from "./values.js"

export interface Settings {
  readonly exhausted: "repeat" | "fail"
  readonly compiler: Statement.Compiler | undefined
}

const failed = (data: AnswerData): SqlError | undefined =>
  data.failure === undefined ? undefined : SqlFailure.make(data.failure)

const valuesOf = (row: ReadonlyArray<Json>) => decode(row) as ReadonlyArray<unknown>

const rowsOf = ({ columns = [], rows = [] }: AnswerData): Rows => {
  const arrays = rows.map((row) => valuesOf(isOther(row) ? row.row : row))
  const known = fromArrays(columns, arrays)
  return rows.some(isOther)
    ? { ...known, objects: known.objects.map((object, i) => otherObject(rows[i]!, arrays[i]!) ?? object) }
    : known
}

/** Of a row with columns of its own. */
const otherObject = (row: RowData, values: ReadonlyArray<unknown>): Row | undefined =>
  isOther(row) ? Object.fromEntries(row.columns.map((name, i) => [name, values[i]])) : undefined

class ReplaySession implements SqlTransport.Session {
  readonly keepsContract = false
  readonly lost = Effect.never
  readonly check = Effect.void
  readonly transaction = new OpenTransaction()

  constructor(
    readonly id: string,
    private readonly recorded: Recorded
  ) {}

  readonly inTransaction = (): boolean => this.transaction.open

  readonly run = (request: SqlTransport.SqlRequest) => this.whole("run", request, request.params)

  readonly batch = (request: SqlTransport.SqlRequest, rows: SqlTransport.ParameterRows) =>
    this.whole("batch", request, rows)

  readonly open = (request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> =>
    this.find("open", request, request.params, (data) => {
      const rows = rowsOf(data)
      const error = failed(data)
      // As it was recorded: an open that failed has no columns, a result that failed later has.
      if (error !== undefined && data.columns === undefined) {
        return Effect.fail(error)
      }
      // The program that was recorded read no further, so nobody knows what comes.
      const unknown = data.done === false && error === undefined
      const cutOff = Effect.fail(this.recorded.cutOff(request.text, rows.objects.length))
      return Effect.succeed(
        cursor(
          cut(rows, request.prefetch),
          (last) => ({ ...this.facts(data), done: last && !unknown, error: last ? error : undefined }),
          unknown ? cutOff : undefined
        )
      )
    })

  readonly describe = (text: string): Effect.Effect<SqlTransport.Description, SqlError> =>
    Effect.suspend(() => {
      const data = this.recorded.describe(text)
      const error = data === undefined ? this.recorded.undescribed(text) : failed(data)
      return error === undefined ? Effect.succeed(data!.description!) : Effect.fail(error)
    })

  private whole(use: "run" | "batch", request: SqlTransport.SqlRequest, params: ReadonlyArray<unknown>) {
    const command = parse(request.text)
    const control = command === undefined ? undefined : this.command(command, request.text)
    const found = this.find(
      use,
      request,
      params,
      (data) => {
        const error = failed(data)
        return error === undefined
          ? Effect.succeed(answer(rowsOf(data), this.facts(data), request.shape))
          : Effect.fail(error)
      },
      control
    )
    return control === undefined
      ? found
      : Effect.flatMap(FiberRef.get(InControl), (inControl) => (inControl ? control : found))
  }

  /** Control that is not in the file, as a statement or as a command, is answered by itself. */
  private command(command: Command, text: string): Effect.Effect<SqlTransport.Answer, SqlError> {
    return Effect.suspend(() => {
      const wrong = this.transaction.apply(command, text)
      return wrong === undefined
        ? Effect.succeed(answer(fromArrays([], []), { inTransaction: this.transaction.open, changes: 0 }))
        : Effect.fail(wrong)
    })
  }

  private find<A>(
    use: Way["use"],
    { integers, shape, text }: SqlTransport.SqlRequest,
    params: ReadonlyArray<unknown>,
    reply: (data: AnswerData) => Effect.Effect<A, SqlError>,
    otherwise?: Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      const data = this.recorded.take({ use, shape, integers }, text, params)
      if (Either.isLeft(data)) {
        return otherwise ?? Effect.fail(data.left)
      }
      if (data.right.interrupted === true) {
        return Effect.onInterrupt(Effect.never, () => Effect.sync(() => this.change(data.right)))
      }
      this.change(data.right)
      return reply(data.right)
    })
  }

  private change({ transaction }: AnswerData): void {
    if (transaction !== undefined) {
      this.transaction.set(transaction === "opened")
    }
  }

  private facts({ changes, private: own, raw, routable }: AnswerData): Facts {
    return {
      inTransaction: this.transaction.open,
      changes,
      routable,
      private: own,
      raw: raw !== undefined ? decode(raw) : changes === undefined ? [] : { changes }
    }
  }
}

/** Commands answer as they did: the nth BEGIN as the nth BEGIN. Beyond the recording they succeed. */
const control = (recording: RecordingData): SqlTransport.TransactionControl => {
  const known = new Map(recording.control.map((data) => [JSON.stringify([data.verb, data.options]), data]))
  const given = new Map<ControlData, number>()
  return around(byText, (verb, session, effect, { options }) =>
    Effect.suspend(() => {
      const data = known.get(JSON.stringify([verb, options]))
      const count = data === undefined ? 0 : (given.get(data) ?? 0)
      if (data !== undefined) {
        given.set(data, count + 1)
      }
      const was = data?.answers[count]
      if (was?.failure === undefined) {
        return effect
      }
      const failure = Effect.fail(SqlFailure.make(was.failure))
      return was.ended === true ? Effect.zipRight(Effect.ignore(byText.rollback(session)), failure) : failure
    })
  )
}

export const make = (
  file: string,
  settings: Settings
): Effect.Effect<SqlTransport.SqlTransport, SqlError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const unusable = (why: string, cause?: unknown) =>
      SqlFailure.make({ reason: "Connection", message: `TestTransport.replay cannot use ${file}: ${why}`, cause })
    const text = yield* Effect.mapError(fs.readFileString(file), (error) =>
      unusable("it cannot be read. Run the test once with TestTransport.recording", error)
    )
    const recording = yield* Effect.mapError(read(text), (why) => unusable(why))
    const recorded = new Recorded(recording, file, settings.exhausted)
    let sessions = 0
    return {
      system: recording.system,
      attributes: [],
      compiler: settings.compiler ?? sqliteCompiler(),
      transactions: control(recording),
      limits: recording.limits,
      sharing: "exclusive",
      connect: () => Effect.sync(() => new ReplaySession(`replay-${++sessions}`, recorded))
    }
  })
