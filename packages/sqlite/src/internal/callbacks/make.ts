/** Registering callbacks on a client: what the program gives, as the worker and the runner know it. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { AggregateOp } from "../boundary.js"
import type { HookKind, Registration } from "../messages.js"
import type { SqlValue } from "../parameterReader.js"
import { collationNeeded, handlerOf, numeric } from "./collationNeeded.js"
import type {
  Aggregate,
  Callbacks,
  Collation,
  FunctionOptions,
  RegistrationHandle,
  ScalarFunction,
  TableArguments,
  TableFunctionOptions,
  TableRow,
  Window
} from "./model.js"
import type { Handler, Question, Registry } from "./registry.js"
import { table } from "./table.js"

type Run = Handler["run"]

/** Registers on every session, present and future; answers how to take it away again. */
export interface Register {
  (...registration: Parameters<Registry["add"]>): Effect.Effect<RegistrationHandle, SqlError>
}

/** Registers without telling the sessions that are open; `tell` does so, and takes it away again where it does not succeed. */
export interface Enlist {
  (...registration: Parameters<Registry["add"]>): RegistrationHandle & {
    readonly registration: Registration
    readonly tell: Effect.Effect<void, SqlError>
  }
}

const bound = (value: unknown): number => (value === true ? 1 : value === false ? 0 : Number(value))

/** Authorizers answer in words (https://www.sqlite.org/c3ref/c_deny.html). */
const verdicts: Readonly<Record<string, number>> = { ok: 0, deny: 1, ignore: 2 }

const state = <S>(initial: () => S, { group, groups }: Question): S =>
  group !== 0 && groups.has(group) ? (groups.get(group) as S) : initial()

/** An aggregate by its steps; the states of its groups are kept on the loop's side. */
const aggregate =
  <S>(definition: Aggregate<S, unknown, unknown> & Partial<Window<S, unknown, unknown>>): Run =>
  (question) => {
    const { args, group, groups, op } = question
    const before = state(definition.initial, question)
    const keep = (after: S) => void groups.set(group, after)
    switch (op) {
      case AggregateOp.step:
        return Effect.map(definition.step(before, ...args), keep)
      case AggregateOp.inverse:
        return Effect.map(definition.inverse!(before, ...args), keep)
      case AggregateOp.value:
        return definition.value!(before)
      default:
        return Effect.suspend(() => {
          groups.delete(group)
          return definition.final(before)
        })
    }
  }

/** As SQLite numbers them. */
export const rowOperations: Readonly<Record<number, "insert" | "update" | "delete">> = {
  18: "insert",
  23: "update",
  9: "delete"
}

export const make = (register: Register, enlist: Enlist): Callbacks => {
  const add = <R>(make: Parameters<Registry["add"]>[0], name: string, run: Run, encode?: Handler["encode"]) =>
    Effect.flatMap(Effect.context<R>(), (context) => register(make, { name, run, encode, context }))

  const define = <R>(
    name: string,
    shape: "scalar" | "aggregate" | "window",
    options: FunctionOptions,
    length: number,
    run: Run
  ) =>
    add<R>(
      (id) => ({
        kind: "function",
        name,
        arity: options.arity ?? (length === 0 ? -1 : length),
        deterministic: options.deterministic ?? false,
        directOnly: options.directOnly ?? false,
        innocuous: options.innocuous ?? false,
        shape,
        id
      }),
      `${name}()`,
      run
    )

  const hook = <R>(
    kind: HookKind,
    run: (args: ReadonlyArray<SqlValue>) => Effect.Effect<unknown, unknown, unknown>,
    encode?: Handler["encode"]
  ) =>
    add<R>(
      (id) => ({ kind: "hook", hook: kind, id }),
      `The ${kind} hook`,
      ({ args }) => run(args),
      encode
    )

  const asNumber = (effect: Effect.Effect<unknown, unknown, unknown>) => Effect.map(effect, bound)

  return {
    function: <E, R>(name: string, ...rest: ReadonlyArray<FunctionOptions | ScalarFunction<E, R>>) => {
      const f = rest.at(-1) as ScalarFunction<E, R>
      const options = rest.length > 1 ? (rest[0] as FunctionOptions) : {}
      return define<R>(name, "scalar", options, f.length, ({ args }) => f(...args))
    },
    aggregate: <S, E, R>(name: string, definition: Aggregate<S, E, R>) =>
      define<R>(name, "aggregate", definition, Math.max(0, definition.step.length - 1), aggregate(definition)),
    window: <S, E, R>(name: string, definition: Window<S, E, R>) =>
      define<R>(name, "window", definition, Math.max(0, definition.step.length - 1), aggregate(definition)),
    tableFunction: <Name extends string, E, R>(
      name: string,
      options: TableFunctionOptions<Name>,
      rows: (args: TableArguments<Name>) => Stream.Stream<TableRow, E, R>
    ) =>
      Effect.flatMap(table(name, options, rows), ([make, handler]) =>
        Effect.flatMap(Effect.context<R>(), (context) => register(make, { ...handler, context }))
      ),
    collation: <E, R>(name: string, compare: Collation<E, R>) =>
      Effect.flatMap(Effect.context<R>(), (context) =>
        register((id) => ({ kind: "collation", name, id }), { ...handlerOf(name, compare), context })
      ),
    collationNeeded: (find) => collationNeeded(register, enlist, find),
    authorizer: (authorize) =>
      hook("authorizer", ([action, first, second, database, trigger]) =>
        Effect.map(
          authorize({
            action: action as number,
            first: orUndefined(first),
            second: orUndefined(second),
            database: orUndefined(database),
            trigger: orUndefined(trigger)
          }),
          (verdict) => verdicts[verdict] ?? 1
        )
      ),
    busyHandler: (again) => hook("busy", ([tries]) => asNumber(again(tries as number))),
    progressHandler: (stop) => hook("progress", () => asNumber(stop)),
    updateHook: (changed) =>
      hook("update", ([operation, database, table, rowid]) =>
        changed({
          operation: rowOperations[operation as number]!,
          database: database as string,
          table: table as string,
          rowid: rowid as number | bigint
        })
      ),
    commitHook: (refuse) => hook("commit", () => asNumber(refuse)),
    rollbackHook: (run) => hook("rollback", () => run),
    walHook: (run) => hook("wal", ([database, pages]) => run({ database: database as string, pages: pages as number })),
    autovacuumPages: (pages) =>
      hook(
        "autovacuumPages",
        ([database, count, free, pageSize]) =>
          pages({
            database: database as string,
            pages: count as number,
            freePages: free as number,
            pageSize: pageSize as number
          }),
        (wanted) => Math.min(numeric(wanted), 0x7fffffff)
      ),
    trace: (run) => hook("trace", ([text]) => run(text as string)),
    profile: (run) => hook("profile", ([text, nanos]) => run({ statement: text as string, nanos: nanos as number }))
  }
}

const orUndefined = (value: SqlValue | undefined): string | undefined =>
  value === null ? undefined : (value as string)
