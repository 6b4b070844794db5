/** Writes down what a transport is asked and answers. */
import * as FileSystem from "@effect/platform/FileSystem"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as SqlTransport from "../../SqlTransport.js"
import { around, type Detail, InControl, type Verb } from "./control.js"
import type { AnswerData, ControlData, RowData, StatementData, Way } from "./recordingFile.js"
import { failureData, write } from "./recordingFile.js"
import { make as makeRedaction, type Redact, type Redaction } from "./redaction.js"
import { encode, textOf } from "./values.js"
import * as wrapped from "./wrapped.js"

type Mutable<A> = { -readonly [K in keyof A]: A[K] extends ReadonlyArray<infer B> ? Array<B> : A[K] }

/** What has been recorded so far. */
class Recorder {
  readonly statements = new Map<string, Mutable<StatementData>>()
  readonly control = new Map<string, Mutable<ControlData>>()

  constructor(readonly redaction: Redaction) {}

  /** Takes its place when the request is made: answers to the same request keep the order in which it was made. */
  begin(way: Way, text: string, params: ReadonlyArray<unknown>): Entry {
    const redacted = this.redaction.params(params, text)
    const key = textOf([text, redacted])
    let statement = this.statements.get(key)
    if (statement === undefined) {
      statement = { text, params: [...redacted], answers: [] }
      this.statements.set(key, statement)
    }
    return new Entry(this, statement.answers, way, text, params)
  }

  command(verb: Verb, { options }: Detail, exit: Exit.Exit<void, SqlError>, inTransaction: boolean): void {
    const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    if (Exit.isFailure(exit) && failure === undefined) {
      return
    }
    const key = JSON.stringify([verb, options])
    let known = this.control.get(key)
    if (known === undefined) {
      known = { verb, options, answers: [] }
      this.control.set(key, known)
    }
    known.answers.push(
      failure === undefined ? {} : { failure: failureData(failure), ...(inTransaction ? {} : { ended: true }) }
    )
  }
}

/** One request on its way. */
class Entry {
  readonly data: AnswerData

  constructor(
    private readonly recorder: Recorder,
    private readonly answers: Array<AnswerData>,
    way: Way,
    private readonly text: string,
    private readonly params: ReadonlyArray<unknown>
  ) {
    this.data = { ...way }
    answers.push(this.data)
  }

  /** For what is no answer: a request that a session refused because it was not its turn. */
  forget(): void {
    this.answers.splice(this.answers.indexOf(this.data), 1)
  }

  page(page: SqlTransport.Page): void {
    const { data } = this
    const columns = page.columns.map(({ name }) => name)
    data.columns ??= page.columns.map(({ name, nullable, precision, scale, type }) => ({
      name,
      ...(JSON.parse(JSON.stringify({ type, nullable, precision, scale })) as object)
    }))
    data.rows ??= []
    if (page.length > 0) {
      this.rows(page, columns, data.rows)
    }
    data.done = page.done || page.error !== undefined
    data.routable = page.routable
    data.private = page.private
    if (page.changes !== undefined) {
      data.changes = page.changes
    }
    if (page.error !== undefined) {
      this.fail(page.error)
    }
  }

  /** An array has no names but those of its page; an object says itself which columns its row has. */
  private rows(page: SqlTransport.Page, columns: ReadonlyArray<string>, into: Array<RowData>): void {
    const { redaction } = this.recorder
    const known = new Set(columns)
    const first = this.data.columns!
    const isFirst = columns.length === first.length && columns.every((name, i) => name === first[i]!.name)
    const objects = this.data.shape === "objects" ? page.objects() : undefined
    page.arrays().forEach((row, i) => {
      const object = objects?.[i] as Readonly<Record<string, unknown>> | undefined
      const own = object === undefined ? columns : Object.keys(object)
      if (isFirst && new Set(own).size === known.size && own.every((name) => known.has(name))) {
        into.push(redaction.row(row, columns, this.text))
      } else {
        const values = object === undefined ? row : Object.values(object)
        into.push({ columns: own, row: redaction.row(values, own, this.text) })
      }
    })
  }

  /** The driver's own result is written where somebody looks at it: it tells of other fibers' statements, too. */
  answer(answer: SqlTransport.Answer): SqlTransport.Answer {
    this.page(answer)
    const raw = () => {
      const result = answer.raw()
      if (answer.columns.length === 0) {
        this.data.raw = encode(result)
      }
      return result
    }
    return wrapped.answer(answer, raw)
  }

  fail(error: SqlError): void {
    const failure = failureData(error)
    this.data.failure = {
      ...failure,
      message: this.recorder.redaction.message(failure.message, this.params.flat(), this.text)
    }
  }

  /** What became of a request: its answer is written by `page` and `answer`, everything else here. */
  settle(exit: Exit.Exit<unknown, SqlError>, before: boolean, after: boolean): void {
    if (Exit.isFailure(exit)) {
      const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
      if (failure === SqlTransport.insideTransaction) {
        return this.forget()
      }
      if (failure !== undefined) {
        this.fail(failure)
      } else if (Cause.isInterrupted(exit.cause)) {
        this.data.interrupted = true
      } else {
        return this.forget()
      }
    }
    if (before !== after) {
      this.data.transaction = after ? "opened" : "ended"
    }
  }
}

const wayOf = (use: Way["use"], { integers, shape }: SqlTransport.SqlRequest): Way => ({ use, shape, integers })

const recorded = (inner: SqlTransport.Session, recorder: Recorder): SqlTransport.Session => {
  /** Whether a transaction is open for this request when it begins: a queue of others may be before it. */
  const before = ({ transaction }: SqlTransport.SqlRequest): boolean =>
    transaction === "required" || (transaction === "free" && inner.inTransaction())
  const after = ({ transaction }: SqlTransport.SqlRequest): boolean => transaction !== "none" && inner.inTransaction()

  const record = <A, R>(
    use: Way["use"],
    request: SqlTransport.SqlRequest,
    params: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, SqlError, R>,
    answered: (answer: A, entry: Entry) => A
  ): Effect.Effect<A, SqlError, R> =>
    Effect.flatMap(FiberRef.get(InControl), (inControl) => {
      if (inControl) {
        return effect
      }
      const entry = recorder.begin(wayOf(use, request), request.text, params)
      const was = before(request)
      return effect.pipe(
        Effect.map((answer) => answered(answer, entry)),
        Effect.onExit((exit) => Effect.sync(() => entry.settle(exit, was, after(request))))
      )
    })

  const whole = (answer: SqlTransport.Answer, entry: Entry): SqlTransport.Answer => entry.answer(answer)

  const growing = (cursor: SqlTransport.Cursor, entry: Entry): SqlTransport.Cursor => {
    entry.page(cursor.first)
    return {
      first: cursor.first,
      columns: cursor.columns,
      next: cursor.next.pipe(
        Effect.tap((page) => Effect.sync(() => void (entry.data.done === true || entry.page(page)))),
        Effect.tapError((error) => Effect.sync(() => entry.fail(error)))
      )
    }
  }

  return wrapped.session(inner, {
    run: (request) => record("run", request, request.params, inner.run(request), whole),
    batch: (request, rows) => record("batch", request, rows, inner.batch(request, rows), whole),
    open: (request) => record("open", request, request.params, inner.open(request), growing),
    describe: (text) =>
      record("describe", SqlTransport.request(text), [], inner.describe(text), (description, entry) => {
        entry.data.description = description
        return description
      })
  })
}

/** Makes the folder of the file when there is none; replaces the file as a whole. */
const save = (fs: FileSystem.FileSystem, file: string, content: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const folder = /^(.*)[\\/][^\\/]*$/.exec(file)?.[1]
    if (folder !== undefined && folder !== "") {
      yield* fs.makeDirectory(folder, { recursive: true })
    }
    yield* fs.writeFileString(`${file}.tmp`, content)
    yield* fs.rename(`${file}.tmp`, file)
  }).pipe(Effect.orDie)

export const make = (
  file: string,
  redact: Redact | undefined
): Effect.Effect<SqlTransport.SqlTransport, never, Scope.Scope | SqlTransport.SqlTransport | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const inner = yield* SqlTransport.SqlTransport
    const fs = yield* FileSystem.FileSystem
    const recorder = new Recorder(makeRedaction(redact))
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() =>
        save(
          fs,
          file,
          write({
            system: inner.system,
            dialect: inner.compiler.dialect,
            limits: inner.limits,
            control: [...recorder.control.values()],
            statements: [...recorder.statements.values()].filter(({ answers }) => answers.length > 0)
          })
        )
      )
    )
    return wrapped.transport(inner, {
      transactions: around(inner.transactions, (verb, session, effect, detail) =>
        Effect.onExit(effect, (exit) =>
          Effect.sync(() => recorder.command(verb, detail, exit, session.inTransaction()))
        )
      ),
      connect: (profile) => Effect.map(inner.connect(profile), (session) => recorded(session, recorder))
    })
  })
