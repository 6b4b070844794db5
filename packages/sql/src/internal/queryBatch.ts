/** Queries whose callers share statements: requests in, one statement for all of them, each caller gets its rows. */
import * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Hash from "effect/Hash"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type * as Tracer from "effect/Tracer"
import type { SqlClient } from "../SqlClient.js"
import { withFiber } from "./fiber.js"
import { insideOf } from "./inside.js"
import { clientOf, type Definition, spanned } from "./query.js"
import type { RowDecoder } from "./queryDecoder.js"
import { NotFound, TooManyRows } from "./queryErrors.js"
import { deadlineOf } from "./settings.js"

export interface BatchOptions {
  readonly requestKey?: ((request: never) => unknown) | undefined
  readonly resultKey: (result: never, row: never) => unknown
  readonly rows?: "one" | "option" | "all" | undefined
  readonly maxBatchSize?: number | undefined
}

export type BatchFailure = SqlError | ParseError | NotFound | TooManyRows

/** Below the parameters that one statement may have in every database we know (SQLite: 32,766). */
const defaultBatchSize = 1_000

/** Keys are compared by what is in them, also where they are plain arrays or objects. */
const comparable = (key: unknown): unknown => {
  if (key instanceof Date) {
    return Data.array([Date, key.getTime()])
  }
  if (key instanceof Uint8Array) {
    return Data.array([Uint8Array, ...key])
  }
  if (Array.isArray(key)) {
    return Data.array(key.map(comparable))
  }
  if (typeof key === "object" && key !== null && Object.getPrototypeOf(key) === Object.prototype) {
    return Data.struct(Object.fromEntries(Object.entries(key).map(([name, part]) => [name, comparable(part)])))
  }
  return key
}

/** Callers may share a statement, and a cached result, only with those that would see the same rows. */
type Together = readonly [
  definition: object,
  client: SqlClient,
  transaction: unknown,
  safeIntegers: unknown,
  deadline: number
]

/** One caller's request. Two are equal when they ask the same thing in the same place. */
class Lookup extends Request.Class<
  unknown,
  BatchFailure,
  {
    readonly key: unknown
    readonly encoded: unknown
    readonly together: Together
    readonly context: Context.Context<never>
    readonly span: Tracer.AnySpan | undefined
  }
> {
  [Equal.symbol](that: Equal.Equal): boolean {
    return (
      that instanceof Lookup &&
      Equal.equals(this.key, that.key) &&
      this.together.every((part, i) => part === that.together[i])
    )
  }

  [Hash.symbol](): number {
    return Hash.hash(this.key)
  }
}

/** Of the callers that have asked for the same, one each. */
type Answers = ReadonlyArray<Exit.Exit<unknown, BatchFailure>>

type Groups = MutableHashMap.MutableHashMap<unknown, Array<Lookup>>

export const batched = <A, R>(definition: Definition<A, R>, options: BatchOptions) => {
  const requestKey = (options.requestKey ?? ((request: unknown) => request)) as (request: unknown) => unknown
  const size = Math.floor(Math.min(Math.max(1, options.maxBatchSize || defaultBatchSize), Number.MAX_SAFE_INTEGER))
  const decoder = definition.decoder!

  /** Duplicates are asked for once and answered each. */
  const runAll = (lookups: ReadonlyArray<Lookup>): Effect.Effect<void> => {
    const groups: Groups = MutableHashMap.empty()
    for (const lookup of lookups) {
      const same = Option.getOrUndefined(MutableHashMap.get(groups, lookup.key))
      if (same === undefined) {
        MutableHashMap.set(groups, lookup.key, [lookup])
      } else {
        same.push(lookup)
      }
    }
    const asked = Array.from(groups, ([, same]) => same)
    const starts = Array.from({ length: Math.ceil(asked.length / size) }, (_, i) => i * size)
    return Effect.forEach(starts, (start) => runOne(asked.slice(start, start + size)), { discard: true })
  }

  /** One statement. Its failure is the failure of those who share it, and of nobody else. */
  const runOne = (asked: ReadonlyArray<ReadonlyArray<Lookup>>): Effect.Effect<void> => {
    const { context, together } = asked[0]![0]!
    const [, client] = together
    const statement = withFiber<ReadonlyArray<unknown>, SqlError>((fiber) => {
      const attributes = [["db.operation.batch.size", asked.length]] as const
      return spanned(fiber, definition.name, attributes, () =>
        definition.statement(
          client,
          asked.map(([lookup]) => lookup!.encoded)
        )
      )
    })
    const exits = Effect.flatMap(statement, (rows) => answers(asked, rows))
    // The caller's services and transaction: a batch runs in a fiber of its own that has neither.
    const run = Effect.locally(
      withLinks(exits as Effect.Effect<ReadonlyArray<Answers>, SqlError>, asked),
      FiberRef.currentContext,
      context
    )
    return Effect.matchCauseEffect(run, {
      onFailure: (cause) => complete(asked, () => Exit.failCause(cause)),
      onSuccess: (exits) => complete(asked, (i, j) => exits[i]![j]!)
    })
  }

  /** Whose row is whose is told by how the first of all callers decodes them. */
  const answers = (
    asked: ReadonlyArray<ReadonlyArray<Lookup>>,
    rows: ReadonlyArray<unknown>
  ): Effect.Effect<ReadonlyArray<Answers>, never, R> =>
    Effect.flatMap(decodeEach(decoder, rows, Array.from(rows.keys())), ({ decoded, isPlain }) => {
      const found = MutableHashMap.empty<unknown, Array<number>>()
      // Nobody knows whose row it was that could not be decoded: it may be anybody's who has none.
      const wrong = decoded.find(Either.isLeft)?.left
      decoded.forEach((result, i) => {
        if (Either.isLeft(result)) {
          return
        }
        const key = comparable(options.resultKey(result.right as never, rows[i] as never))
        const same = Option.getOrUndefined(MutableHashMap.get(found, key))
        if (same === undefined) {
          MutableHashMap.set(found, key, [i])
        } else {
          same.push(i)
        }
      })
      const numbersOf = ({ key }: Lookup) => Option.getOrElse(MutableHashMap.get(found, key), (): Array<number> => [])
      if (isPlain) {
        return Effect.succeed(
          asked.map((same) => {
            const exit = answer(
              numbersOf(same[0]!).map((i) => decoded[i]!),
              wrong
            )
            return same.map(() => exit)
          })
        )
      }
      // The schema asks for services, perhaps: each caller's rows are decoded by its own.
      const own = (lookup: Lookup) =>
        Effect.exit(
          Effect.flatMap(decodeEach(decoder, rows, numbersOf(lookup)), ({ decoded }) => answer(decoded, wrong))
        ).pipe(Effect.locally(FiberRef.currentContext, lookup.context))
      const [[first]] = asked as readonly [readonly [Lookup]]
      const ofFirst = answer(
        numbersOf(first).map((i) => decoded[i]!),
        wrong
      )
      return Effect.forEach(asked, (same) =>
        Effect.forEach(same, (lookup) => (lookup === first ? Effect.succeed(ofFirst) : own(lookup)))
      )
    })

  const answer = (
    decoded: ReadonlyArray<Either.Either<A, ParseError>>,
    others: ParseError | undefined
  ): Exit.Exit<unknown, BatchFailure> => {
    const mine = decoded.filter(Either.isRight).map(({ right }) => right)
    const wrong = decoded.find(Either.isLeft)?.left ?? others
    if (options.rows === "all") {
      return wrong === undefined ? Exit.succeed(mine) : Exit.fail(wrong)
    }
    if (mine.length > 1) {
      return Exit.fail(new TooManyRows({ query: definition.name, rows: mine.length }))
    }
    if (mine.length === 1) {
      return Exit.succeed(options.rows === "option" ? Option.some(mine[0]) : mine[0])
    }
    if (wrong !== undefined) {
      return Exit.fail(wrong)
    }
    return options.rows === "option" ? Exit.succeed(Option.none()) : Exit.fail(new NotFound({ query: definition.name }))
  }

  const resolver = RequestResolver.makeBatched<Lookup, never>(runAll)

  return (request: unknown): Effect.Effect<unknown, BatchFailure, R> =>
    withFiber((fiber) => {
      const context = fiber.currentContext
      const client = clientOf(fiber)
      const together: Together = [
        definition,
        client,
        insideOf(client).transactionOf(context),
        context.unsafeMap.get(EffectSql.SafeIntegers.key) ?? false,
        deadlineOf(context)
      ]
      return Effect.flatMap(definition.encode(request), (encoded) =>
        Effect.request(
          new Lookup({ key: comparable(requestKey(request)), encoded, together, context, span: fiber.currentSpan }),
          resolver.identified(...together)
        )
      )
    })
}

/**
 * The rows of these numbers. Sequentially, so that a schema with Effects sees one row at a time; each row's result by
 * itself. `isPlain`: no row has needed an Effect.
 */
const decodeEach = <A, R>(
  decoder: RowDecoder<A, R>,
  rows: ReadonlyArray<unknown>,
  numbers: ReadonlyArray<number>
): Effect.Effect<
  { readonly decoded: ReadonlyArray<Either.Either<A, ParseError>>; readonly isPlain: boolean },
  never,
  R
> =>
  Effect.suspend(() => {
    let isPlain = true
    return Effect.map(
      Effect.forEach(numbers, (i) => {
        const decoded = decoder.one(rows[i])
        isPlain &&= Either.isEither(decoded)
        return Effect.either(Effect.mapError(decoded, (issue) => decoder.failure(rows, i, issue)))
      }),
      (decoded) => ({ decoded, isPlain })
    )
  })

/** The callers' spans; the first is the parent of the batch's own. */
const withLinks = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  asked: ReadonlyArray<ReadonlyArray<Lookup>>
): Effect.Effect<A, E, R> => {
  const spans = new Set(asked.flatMap((same) => same.flatMap(({ span }) => (span === undefined ? [] : [span]))))
  return spans.size < 2 ? effect : [...spans].slice(1).reduce((linked, span) => Effect.linkSpans(linked, span), effect)
}

const complete = (
  asked: ReadonlyArray<ReadonlyArray<Lookup>>,
  exitOf: (i: number, j: number) => Exit.Exit<unknown, BatchFailure>
): Effect.Effect<void> =>
  Effect.forEach(
    asked,
    (same, i) => Effect.forEach(same, (lookup, j) => Request.complete(lookup, exitOf(i, j)), { discard: true }),
    { discard: true }
  )
