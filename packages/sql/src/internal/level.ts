/** A level of a transaction, or a reserved session: who may run statements on a session that somebody holds. */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as EffectSql from "@effect/sql/SqlClient"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as SqlFailure from "../SqlFailure.js"
import type * as SqlTransport from "../SqlTransport.js"
import { bounded, boundedCursor, type BoundedRequest, within } from "./deadline.js"
import { withFiber } from "./fiber.js"
import { staysInside } from "./operation.js"
import { Turn } from "./turn.js"

const gone = (statement: string | undefined, message: string) =>
  SqlFailure.make({ reason: "TransactionGone", message, statement })

/** What all levels of one transaction share. */
export interface Root {
  readonly session: SqlTransport.Session
  readonly use: "required" | "free"
  readonly options: SqlTransport.BeginOptions
  /** `@effect/sql`'s own tag around the outermost level: the transaction of another client, perhaps. */
  readonly around: Context.Tag.Service<typeof EffectSql.TransactionConnection> | undefined
  /** What the outermost level has gathered. */
  readonly afterCommit: Array<Effect.Effect<void>>
  /** It has been committed, and what `afterCommit` has gathered is being run or has been. */
  committed: boolean
  /** It has been committed or undone: nothing waits for its end any more. */
  ended: boolean
  /** To be run once it has ended, however it did: what others have committed meanwhile stays. */
  readonly atEnd: Array<Effect.Effect<void>>
  savepoints: number
  /** A savepoint could not be undone: what should be gone is still there, so the whole transaction must go. */
  spoiled: boolean
  /** Nobody knows what became of a statement that may have ended it, by a COMMIT of its own. */
  unsure: boolean
  /** The database has undone it, with the failure of one of its statements. */
  undone: boolean
}

/** Of a transaction (`required`), or of a session that is reserved (`free`). */
export const rootOf = (facts: Pick<Root, "session" | "use" | "options" | "around">): Root => ({
  ...facts,
  afterCommit: [],
  committed: false,
  ended: false,
  atEnd: [],
  savepoints: 0,
  spoiled: false,
  unsure: false,
  undone: false
})

/** Failures with which a database undoes a transaction that was in the way of another one. */
const undoing = SqlFailure.is("Serialization", "Deadlock")

/** Failures of statements that may have had their effect: as long as their transaction is not undone. */
const effective = new WeakMap<SqlError, Root>()

/** Of a failure that leaves a transaction which has been undone: whatever its statement did is gone. */
export const undoneIn =
  (root: Root) =>
  <E>(error: E): E | SqlError => {
    const failure = error as E & SqlError
    return effective.get(failure) === root ? SqlFailure.annotate(failure, { outcome: "notExecuted" }) : error
  }

/** The deadline of a `sql.transaction`'s own option, and the one around it, which is all that counts after the commit. */
export interface Bound {
  readonly own: number
  readonly around: number
}

export class Level {
  /** Statements of this level pass; an inner level holds. */
  readonly turn: Turn
  /** Effects to run once the transaction is committed; an inner level's come to the outer one's when it ends well. */
  readonly afterCommit: Array<Effect.Effect<void>>
  /** The outer level, once this one has ended well: whatever comes to this one belongs to that one. */
  partOf: Level | undefined
  /** The level inside this one, while it holds this one's turn. */
  inner: Level | undefined
  readonly depth: number
  private closed = false
  /** The same level as an `@effect/sql` connection, for code that looks for one. */
  readonly connection: Connection

  constructor(
    readonly root: Root,
    /** The level around this one; undefined for the outermost. */
    readonly parent: Level | undefined,
    width: number,
    /** Of this level and of those around it, the innermost first. */
    readonly bounds: ReadonlyArray<Bound>,
    connection: (level: Level) => Connection
  ) {
    this.turn = new Turn(width)
    this.depth = parent === undefined ? 0 : parent.depth + 1
    this.afterCommit = parent === undefined ? root.afterCommit : []
    this.connection = connection(this)
  }

  get session(): SqlTransport.Session {
    return this.root.session
  }

  /** Nothing of this level, nor of those inside it, begins from now on; whoever waits is told. */
  close(): void {
    this.closed = true
    this.turn.end()
  }

  /** Whether this level or one around it has been closed: the session may be somebody else's. */
  get over(): boolean {
    return this.closed || (this.parent !== undefined && this.parent.over)
  }

  /** The level that what comes to this one belongs to: this one, or what it has become a part of by ending well. */
  get owner(): Level {
    return this.partOf === undefined ? this : this.partOf.owner
  }

  /** Closes it, and waits for what runs on the session at this moment: here or, where fibers still have one, further inside. */
  stop(): Effect.Effect<void> {
    this.close()
    let still = this.turn.still
    for (let inner = this.inner; inner !== undefined; inner = inner.inner) {
      still = Effect.zipRight(still, inner.turn.still)
    }
    return still
  }

  /** The failure of a statement that comes too late, else undefined. */
  ended(statement?: string): SqlError | undefined {
    if (this.over) {
      return gone(
        statement,
        this.root.use === "free"
          ? "This reserved session has been given back; the fiber outlived it"
          : "This transaction has already ended; the fiber outlived it"
      )
    }
    if (this.root.spoiled) {
      return gone(statement, "A savepoint of this transaction could not be undone, so all of it is rolled back")
    }
    if (this.root.use === "required" && !this.session.inTransaction()) {
      return gone(
        statement,
        "The database has ended this transaction: a write in it was stopped, an error undid it, or a statement ended it"
      )
    }
    return undefined
  }

  /** Told of each failure of a statement, also of one that comes with the last rows. */
  failed(error: SqlError): void {
    const { outcome, statement = "" } = SqlFailure.from(error)
    if (this.root.use === "required" && outcome !== "notExecuted") {
      effective.set(error, this.root)
      this.root.unsure ||= outcome === "unknown" && !staysInside(statement)
    }
    // It was open before.
    this.root.undone ||= undoing(error) && !this.session.inTransaction() && staysInside(statement)
  }

  /** Runs the effect in turn, if the level has not ended. */
  use<A, E, R>(
    request: Pick<BoundedRequest, "text" | "until">,
    effect: () => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | SqlError, R> {
    const { text } = request
    return this.turn.pass(
      Effect.suspend((): Effect.Effect<A, E | SqlError, R> => {
        const late = this.ended(text)
        return late === undefined ? effect() : Effect.fail(late)
      }),
      this.waiting(request)
    )
  }

  /** What bounds the wait for a turn: the deadline; and a session that waits for whoever asks it never gives one. */
  readonly waiting =
    ({ text, until }: Pick<BoundedRequest, "text" | "until">) =>
    <A, E>(wait: Effect.Effect<A, E>): Effect.Effect<A, E | SqlError> =>
      withFiber<A, E | SqlError>((fiber) => {
        const refused = this.session.reentrant?.(fiber.currentContext, text)
        return refused !== undefined
          ? Effect.fail(refused)
          : until === Infinity
            ? wait
            : within(wait, until, text, "notExecuted")
      })

  run(request: BoundedRequest): Effect.Effect<SqlTransport.Answer, SqlError> {
    return this.use(request, () =>
      bounded(request, this.session, this.session.run({ ...request, transaction: this.root.use }))
    )
  }

  open(request: BoundedRequest): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> {
    return this.use(request, () =>
      Effect.map(
        boundedCursor(request, this.session, this.session.open({ ...request, transaction: this.root.use })),
        (cursor) => this.whileOpen(cursor, request.text)
      )
    )
  }

  /** The rest of a result whose level has ended would be of another state of the database. */
  private whileOpen({ columns, first, next }: SqlTransport.Cursor, text: string): SqlTransport.Cursor {
    const came = ({ error }: SqlTransport.Page) => {
      if (error !== undefined) {
        this.failed(error)
      }
    }
    came(first)
    const noted = Effect.mapBoth(next, {
      onFailure: (error) => {
        this.failed(error)
        return error
      },
      onSuccess: (page) => {
        came(page)
        return page
      }
    })
    return {
      columns,
      first,
      next: Effect.suspend(() => {
        const late = this.ended(text)
        return late === undefined ? noted : Effect.fail(late)
      })
    }
  }

  batch(request: BoundedRequest, rows: SqlTransport.ParameterRows) {
    return this.use(request, () =>
      bounded(request, this.session, this.session.batch({ ...request, transaction: this.root.use }, rows))
    )
  }

  describe(request: Pick<BoundedRequest, "text" | "until">) {
    return this.use(request, () => this.session.describe(request.text))
  }
}
