/** Makes the changes of a changeset, one statement each, many at a time; the conflicts go to the program. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlClient, SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Settled } from "../batchValue.js"
import type { ChangesResult, ChangeStatement } from "../messages.js"
import { noTransaction, sqliteFailure } from "../failure.js"
import type { OnWriter } from "../onWriter.js"
import type { SqlValue } from "../parameterReader.js"
import { quoted } from "../quoting.js"
import { ResultCode } from "../resultCode.js"
import { type Change, keyOf, MalformedChangeset, RawText, read, type Row, type Table, type Value } from "./format.js"
import { guard, type Guards } from "./guards.js"
import type { Applied, ApplyOptions, ChangedValues, Changesets, Conflict, Resolution } from "./model.js"

export const invalid = (message: string): SqlError => SqlFailure.make({ reason: "InvalidParameter", message })

/** A REAL that is whole must not become an INTEGER where the column takes both. */
const mark = (value: Value | undefined): string =>
  typeof value === "number" && Number.isInteger(value) ? "cast(? as real)" : found(value)

const isRaw = (row: Row): boolean => row.some((value) => value instanceof RawText)

const found = (value: Value | undefined): string => (value instanceof RawText ? "cast(? as text)" : "?")

const plain = (value: Value): SqlValue =>
  typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value

/** A table that changes are made to, as it is here. */
interface Target {
  readonly name: string
  readonly at: string
  readonly columns: ReadonlyArray<string>
}

interface Statement extends ChangeStatement {
  readonly params: ReadonlyArray<Value>
}

const where = ({ columns }: Target, { key }: Table, row: Row, keyOnly: boolean) => {
  const parts: Array<string> = []
  const params: Array<Value> = []
  row.forEach((value, i) => {
    if (value !== undefined && (key[i]! > 0 || !keyOnly)) {
      parts.push(`${quoted(columns[i]!)} ${key[i]! > 0 ? "=" : "is"} ${found(value)}`)
      params.push(value)
    }
  })
  return { text: parts.join(" and "), params }
}

/** `forced`: whatever else the row holds by now. */
const statementOf = (target: Target, change: Change, forced: boolean): Statement => {
  const { columns } = target
  const told = change.new.flatMap((value, i) => (value === undefined ? [] : [[quoted(columns[i]!), value] as const]))
  const values = told.map(([, value]) => value)
  if (change.operation === "insert") {
    const names = told.map(([name]) => name).join(", ")
    return { text: `insert into ${target.at} (${names}) values (${values.map(mark).join(", ")})`, params: values }
  }
  const row = where(target, change.table, change.old, forced)
  return change.operation === "delete"
    ? { text: `delete from ${target.at} where ${row.text}`, params: row.params }
    : {
        text: `update ${target.at} set ${told.map(([name, value]) => `${name} = ${mark(value)}`).join(", ")} where ${row.text}`,
        params: [...values, ...row.params]
      }
}

const isConstraint = SqlFailure.is("Constraint", "UniqueViolation")

const valuesOf = ({ columns }: Target, row: Row): ChangedValues =>
  Object.fromEntries(row.flatMap((value, i) => (value === undefined ? [] : [[columns[i]!, plain(value)]])))

/** Changes that go to the worker at once at most, and characters and bytes of their values. */
const maxChanges = 256
const maxSize = 1024 * 1024

const sizeOf = ({ params }: Statement): number =>
  params.reduce<number>(
    (size, value) => size + (typeof value === "string" ? value.length : value instanceof Uint8Array ? value.length : 8),
    0
  )

/** A change, and what makes it. */
interface Step {
  readonly target: Target
  readonly change: Change
  readonly statement: Statement
}

class Applying<E, R> {
  private readonly targets = new Map<Table, Target | undefined>()
  private applied = 0
  private replaced = 0
  private omitted = 0
  /** Tried again after the others: what is in the way may be gone by then. */
  private deferred: Array<Change> = []
  private guards: Guards | undefined
  /** Changes that go to the worker at once: fewer behind a conflict, where there may be more. */
  private window = maxChanges

  constructor(
    private readonly client: SqlClient.SqlClient,
    private readonly onWriter: OnWriter,
    private readonly schema: string,
    private readonly options: ApplyOptions<E, R>
  ) {}

  all(bytes: Uint8Array): Effect.Effect<Applied, SqlError | E, R> {
    return Effect.gen(this, function* () {
      let steps: Array<Step> = []
      let size = 0
      const wanted: Array<readonly [Target, Change]> = []
      for (const change of yield* parsed(bytes)) {
        const target = yield* this.target(change.table)
        if (target !== undefined) {
          wanted.push([target, change])
        }
      }
      if (wanted.some(([, { new: after, old }]) => isRaw(old) || isRaw(after))) {
        yield* this.assertUtf8
      }
      const changed = new Set(wanted.map(([{ name }]) => name))
      this.guards = yield* guard(this.client, this.schema, [...changed], (text) =>
        this.run({ text, params: [], own: true })
      )
      for (const [target, change] of wanted) {
        const statement = this.statement(target, change, false)
        steps.push({ target, change, statement })
        size += sizeOf(statement)
        if (steps.length === maxChanges || size >= maxSize) {
          yield* this.makeAll(steps)
          steps = []
          size = 0
        }
      }
      yield* this.makeAll(steps)
      for (let before = Infinity; this.deferred.length > 0 && this.deferred.length < before;) {
        before = this.deferred.length
        yield* this.again(true)
      }
      yield* this.again(false)
      yield* this.guards.takeAway
      return { applied: this.applied, replaced: this.replaced, omitted: this.omitted }
    })
  }

  private again(deferring: boolean): Effect.Effect<void, SqlError | E, R> {
    const changes = this.deferred
    this.deferred = []
    return Effect.forEach(
      changes,
      (change) => Effect.flatMap(this.target(change.table), (target) => this.make(target!, change, deferring)),
      { discard: true }
    )
  }

  /** Undefined: the program does not want its changes. */
  private target(table: Table): Effect.Effect<Target | undefined, SqlError> {
    return Effect.suspend(() => {
      if (this.targets.has(table)) {
        return Effect.succeed(this.targets.get(table))
      }
      const wanted = this.options.filter?.(table.name) ?? true
      return Effect.tap(wanted ? this.find(table) : Effect.succeed(undefined), (target) =>
        Effect.sync(() => this.targets.set(table, target))
      )
    })
  }

  /** Columns may have been added behind those that the changeset knows. */
  private find({ key, name }: Table): Effect.Effect<Target, SqlError> {
    const columns = this.client.unsafe("select name, pk from pragma_table_info(?, ?)", [name, this.schema]).values
    return Effect.flatMap(columns, (rows) => {
      const agrees = rows.every(([, place], i) => (i < key.length && key[i]! > 0) === Number(place) > 0)
      return rows.length === 0
        ? Effect.fail(invalid(`The changeset has changes of ${name}, which is not here: leave it out by filter`))
        : rows.length < key.length || !agrees
          ? Effect.fail(invalid(`${name} has fewer columns or another primary key than in the changeset`))
          : Effect.succeed({
              name,
              at: `${quoted(this.schema)}.${quoted(name)}`,
              columns: rows.map(([column]) => column as string)
            })
    })
  }

  /** In another encoding the bytes would be other characters, and perhaps another row's. */
  private readonly assertUtf8 = Effect.suspend(() =>
    Effect.flatMap(this.client.unsafe("select encoding from pragma_encoding").values, ([row]) =>
      row?.[0] === "UTF-8"
        ? Effect.void
        : Effect.fail(invalid("The changeset has texts that are not UTF-8, which a database of UTF-16 cannot hold"))
    )
  )

  private statement(target: Target, change: Change, forced: boolean): Statement {
    return this.guarded(target, change, statementOf(target, change, forced))
  }

  /** With the row that it is for, where foreign keys would act. */
  private guarded({ name }: Target, { new: after, old, operation, table }: Change, statement: Statement): Statement {
    const { guards } = this
    return guards?.any !== true
      ? statement
      : {
          ...statement,
          row: {
            table: guards.numberOf(name),
            key: (operation === "insert" ? after : old).filter((_, i) => table.key[i]! > 0)
          }
        }
  }

  /** Answers whether it has changed a row. */
  private run(statement: Statement): Effect.Effect<boolean, SqlError> {
    return Effect.flatMap(this.send([{ statement }]), ({ done, error, failure, gone }) => {
      const failed =
        failure ??
        (error !== undefined ? sqliteFailure(error, statement.text) : gone ? noTransaction(statement.text) : undefined)
      return failed === undefined ? Effect.succeed(done > 0) : Effect.fail(failed)
    })
  }

  /** Many in one round trip. Where one meets a conflict the next one goes by itself, and then more and more of them again. */
  private makeAll(steps: ReadonlyArray<Step>, from = 0): Effect.Effect<void, SqlError | E, R> {
    const first = steps[from]
    if (first === undefined) {
      return Effect.void
    }
    if (this.window === 1) {
      this.window = 2
      return Effect.zipRight(
        this.make(first.target, first.change, true),
        Effect.suspend(() => this.makeAll(steps, from + 1))
      )
    }
    const sent = steps.slice(from, from + this.window)
    return Effect.flatMap(this.send(sent), ({ done, error, failure, gone }): Effect.Effect<void, SqlError | E, R> => {
      this.applied += done
      const next = sent[done]
      if (failure !== undefined) {
        return Effect.fail(failure)
      }
      if (next === undefined) {
        this.window = Math.min(maxChanges, this.window * 2)
        return this.makeAll(steps, from + done)
      }
      const { change, statement, target } = next
      const failed = error !== undefined ? sqliteFailure(error, statement.text) : noTransaction(statement.text)
      const settled =
        error === undefined && !gone
          ? this.missed(target, change, true)
          : isConstraint(failed)
            ? this.refused(target, change, true)
            : Effect.fail(failed)
      return Effect.zipRight(
        settled,
        Effect.suspend(() => this.makeAll(steps, from + done + 1))
      )
    })
  }

  private send(steps: ReadonlyArray<Pick<Step, "statement">>): Effect.Effect<Settled<ChangesResult>, SqlError> {
    const statements = steps.map(({ statement }) => statement)
    return this.onWriter((session, request) =>
      session.command({ _tag: "Changes", statements }, undefined, request)
    ) as Effect.Effect<Settled<ChangesResult>, SqlError>
  }

  private make(target: Target, change: Change, deferring: boolean): Effect.Effect<void, SqlError | E, R> {
    return Effect.matchEffect(this.run(this.statement(target, change, false)), {
      onSuccess: (changed) => (changed ? this.count(false) : this.missed(target, change, deferring)),
      onFailure: (error) => (isConstraint(error) ? this.refused(target, change, deferring) : Effect.fail(error))
    })
  }

  private count(replaced: boolean): Effect.Effect<void> {
    return Effect.sync(() => {
      this.applied++
      this.replaced += replaced ? 1 : 0
    })
  }

  /** The row that has the key of the change. */
  private current(target: Target, { new: after, old: before, operation, table }: Change) {
    const row = where(target, table, operation === "insert" ? after : before, true)
    const columns = target.columns.map(quoted).join(", ")
    const found = this.client.unsafe(`select ${columns} from ${target.at} where ${row.text}`, row.params).values
    return Effect.map(
      Effect.provideService(found, SqlClient.SafeIntegers, true),
      (rows) => rows[0] as ReadonlyArray<Value> | undefined
    )
  }

  private missed(target: Target, change: Change, deferring: boolean): Effect.Effect<void, SqlError | E, R> {
    if (change.operation === "insert") {
      // A trigger has passed it over by RAISE(IGNORE): to SQLite it is made.
      return this.count(false)
    }
    this.window = 1
    return Effect.flatMap(this.current(target, change), (current) =>
      this.resolve(target, change, current === undefined ? "notFound" : "data", current, deferring)
    )
  }

  private refused(target: Target, change: Change, deferring: boolean): Effect.Effect<void, SqlError | E, R> {
    this.window = 1
    const inTheWay = change.operation === "insert" ? this.current(target, change) : Effect.succeed(undefined)
    const { key } = change.table
    return Effect.flatMap(inTheWay, (current) =>
      // A key that is the same for its collation only: a later change may take that row away.
      current === undefined || (deferring && keyOf(current, key) !== keyOf(change.new, key))
        ? this.violating(target, change, deferring)
        : this.resolve(target, change, "conflict", current, deferring)
    )
  }

  private violating(target: Target, change: Change, deferring: boolean): Effect.Effect<void, SqlError | E, R> {
    return deferring
      ? Effect.sync(() => void this.deferred.push(change))
      : this.resolve(target, change, "constraint", undefined, deferring)
  }

  private resolve(
    target: Target,
    change: Change,
    type: Conflict["type"],
    current: ReadonlyArray<Value> | undefined,
    deferring: boolean
  ): Effect.Effect<void, SqlError | E, R> {
    const conflict: Conflict = {
      type,
      table: target.name,
      operation: change.operation,
      indirect: change.indirect,
      old: valuesOf(target, change.old),
      new: valuesOf(target, change.new),
      current: current === undefined ? undefined : valuesOf(target, current)
    }
    const asked: Effect.Effect<Resolution, E, R> =
      this.options.onConflict === undefined ? Effect.succeed("abort") : this.options.onConflict(conflict)
    return Effect.flatMap(asked, (resolution): Effect.Effect<void, SqlError | E, R> => {
      switch (resolution) {
        case "omit":
          return Effect.sync(() => void this.omitted++)
        case "replace":
          return type === "data" || type === "conflict"
            ? this.force(target, change, deferring)
            : Effect.fail(invalid(`"replace" is no answer to a conflict of type ${type}: omit or abort`))
        case "abort":
          return Effect.fail(aborted(conflict))
        default:
          return Effect.fail(invalid("The answer to a conflict is omit, replace or abort"))
      }
    })
  }

  private force(target: Target, change: Change, deferring: boolean): Effect.Effect<void, SqlError | E, R> {
    const row = where(target, change.table, change.new, true)
    const forced =
      change.operation === "insert"
        ? this.client.withTransaction(
            Effect.zipRight(
              this.run(
                this.guarded(target, change, { text: `delete from ${target.at} where ${row.text}`, params: row.params })
              ),
              this.run(this.statement(target, change, true))
            )
          )
        : this.run(this.statement(target, change, true))
    return Effect.matchEffect(forced, {
      onSuccess: () => this.count(true),
      onFailure: (error) => (isConstraint(error) ? this.violating(target, change, deferring) : Effect.fail(error))
    })
  }
}

const aborted = ({ operation, table, type }: Conflict): SqlError =>
  SqlFailure.make({
    reason: "Constraint",
    message:
      `The changeset was not applied: its ${operation} of a row of ${table} met a conflict (${type}). ` +
      "Answer it in onConflict, or bring the database to where the changeset begins",
    code: ResultCode.abort
  })

/** What a function of changesets answers, or the failure for bytes that are none. */
export const attempt = <A>(run: () => A): Effect.Effect<A, SqlError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (error) {
      if (error instanceof MalformedChangeset) {
        return Effect.fail(invalid(`This is no changeset that can be used: ${error.message}`))
      }
      throw error
    }
  })

/** All of it before the first is made: bytes that are no changeset change nothing. */
const parsed = (bytes: Uint8Array) => attempt(() => Array.from(read(bytes)))

const collect = <E, R>(changeset: Uint8Array | Stream.Stream<Uint8Array, E, R>): Effect.Effect<Uint8Array, E, R> =>
  changeset instanceof Uint8Array
    ? Effect.succeed(changeset)
    : Effect.map(
        Stream.runFold(changeset, [] as Array<Uint8Array>, (parts, part) => {
          parts.push(part)
          return parts
        }),
        (parts) => Buffer.concat(parts)
      )

export const makeApply =
  (client: SqlClient.SqlClient, onWriter: OnWriter): Changesets["applyChangeset"] =>
  (changeset, options = {}) =>
    Effect.flatMap(collect(changeset), (bytes) =>
      client.withTransaction(
        Effect.zipRight(
          // Until the commit: to take it back before would forget what is violated.
          client.unsafe("pragma defer_foreign_keys = on"),
          new Applying(client, onWriter, options.schema ?? "main", options).all(bytes)
        )
      )
    )
