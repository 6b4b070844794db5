/**
 * The job's side of one link: ids → waiters. One synchronous reader, one table, one timer; Effects begin above.
 *
 * Every call is settled exactly once: by its response, by the end of the link, by its deadline, or by its caller, who may
 * stop waiting. Whose caller has gone stays in the table until its response comes, so that what it opened gets closed.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import { encode, type Request } from "../../Protocol.js"
import * as failure from "../failure.js"
import { type Frame, parse } from "../frame.js"
import type { Link, LinkEvents } from "../link.js"
import { longestTimer } from "../longestTimer.js"
import type { Call } from "./call.js"

export interface WireEvents {
  /** The link has ended; told once. */
  readonly lost: (error: SqlError) => void
  /** A deadline has passed on a call that the daemon has. `settle` tells its caller, once it has been dealt with. */
  readonly late: (call: Call) => void
  /** A statement has been under way for a second: it may be one that has to be stopped. */
  readonly long: () => void
}

/** Milliseconds after which a statement counts as a long one. */
const longAfter = 1_000

/** Milliseconds in which the answers that are still to come show whose a message was that does not say so. */
const claimWithin = 1_000

/** How ids of `sqlclose` begin. Its answer says nothing of use: also "unknown id" means closed. */
const closing = "x"
const closed = `{"id":"${closing}`

export class Wire implements LinkEvents {
  private readonly calls = new Map<string, Call>()
  /** Calls that wait for their turn, or until a stop has come to its end. */
  private readonly held: Array<Call> = []
  private readonly heldCloses: Array<string> = []
  private holding = false
  private releasing: NodeJS.Timeout | undefined
  private lastId = 0
  private failed: SqlError | undefined
  /** Statements are refused, but cursors that are open may be read on. */
  private spent = false
  /** Why the link has ended. */
  endedBy: string | undefined
  /** Of messages that nobody has claimed yet. */
  private readonly claims = new Set<NodeJS.Timeout>()
  private timer: NodeJS.Timeout | undefined
  private timerAt = Infinity
  private longTimer: NodeJS.Timeout | undefined

  /** Set as soon as the link is open. */
  link: Link | undefined
  /** The Db2 job's name, once `connect` was answered. */
  job: string | undefined
  /** Values that are being fetched beside the link; each is told when that is to end. */
  readonly fetches = new Set<(why: SqlError) => void>()
  /** Counts `connect`s: what was opened in an earlier one is gone. */
  epoch = 0
  /**
   * Counts what closes cursors: `connect`s, and rollbacks. The daemon answers for a cursor that was closed with an empty
   * last page, so one that was opened before a change of this count must not be believed.
   */
  generation = 0
  /** Until then (in milliseconds of `performance.now()`) a cancel that was sent for this job may still come. */
  quietFrom = 0
  /** Statements that the driver still holds on this connection, as far as we can know; at 9,999 it refuses more. */
  handles = 0
  /** Requests under way that keep the daemon from reading. */
  blocking = 0
  /** Messages without meaning for us: unknown ids, second responses, no JSON. */
  strays = 0
  /** When something last came, in milliseconds of `performance.now()`. */
  heard = performance.now()

  private events: WireEvents = { lost: () => {}, late: () => {}, long: () => {} }

  /** `serial`: one statement or page at a time, in the order in which they come. A cancel can only mean that one then. */
  constructor(
    readonly serial = false,
    /** Takes the secrets out of the other end's words. All of these come along here, so no failure has any. */
    public scrub: (text: string) => string = (text) => text
  ) {}

  /** Who is told of what happens from now on; also if the link has ended before. */
  tell(events: WireEvents): void {
    this.events = events
    if (this.failed !== undefined) {
      events.lost(this.failed)
    }
  }

  // ------------------------------------------------------------------------------------------------------- sending

  /** Takes a call: sends it, holds it while another one is being stopped, or settles it with a failure at once. */
  submit(call: Call): void {
    if (this.failed !== undefined && !(this.spent && call.request.type === "sqlmore")) {
      return this.refuse(call, this.failed)
    }
    if (call.deadline !== Infinity) {
      if (call.deadline <= performance.now()) {
        return this.refuse(call, failure.late(this.subject(call), "notExecuted"))
      }
      this.watch(call.deadline)
    }
    if (this.holding || (call.works && this.busy)) {
      return void this.held.push(call)
    }
    this.send(call)
  }

  /** Whether a statement would have to wait for its turn. */
  private get busy(): boolean {
    if (this.serial) {
      for (const call of this.calls.values()) {
        if (call.works) {
          return true
        }
      }
    }
    return false
  }

  /** Whatever ended the job: this one was not run. */
  private refuse(call: Call, error: SqlError): void {
    call.answered = true
    this.settle(call, this.fate(error, "notExecuted", call), undefined)
  }

  /** Sends, whatever is held. */
  send(call: Call): void {
    const id = `s${++this.lastId}`
    if (call.request.type === "connect") {
      // Whatever comes of it: the database connection that was there is gone, and what was open in it.
      this.epoch++
      this.generation++
      this.handles = 0
    }
    if (call.closesCursors) {
      this.generation++
    }
    call.epoch = this.epoch
    call.generation = this.generation
    let text: string
    try {
      text = `{"id":"${id}",${encode(call.request as Request).slice(1)}`
    } catch (error) {
      return this.settle(call, failure.badConfig(`The request cannot be written as JSON: ${String(error)}`), undefined)
    }
    if (this.link?.send(text) !== true) {
      return this.refuse(call, this.failed ?? this.gone("the link has ended", "notExecuted", call))
    }
    call.id = id
    this.calls.set(id, call)
    if (call.blocks) {
      this.blocking++
    }
    if (call.costs) {
      this.handles++
    }
    if (this.longTimer === undefined) {
      this.watchLong()
    }
  }

  /** Whatever is under way now and still is when the timer fires is a long one. */
  private watchLong(): void {
    const underWay = this.lastId
    this.longTimer = setTimeout(() => {
      this.longTimer = undefined
      for (const call of this.calls.values()) {
        if (call.works && Number(call.id.slice(1)) <= underWay) {
          return this.events.long()
        }
      }
      if (this.calls.size > 0) {
        this.watchLong()
      }
    }, longAfter)
    this.longTimer.unref()
  }

  /**
   * Forgets an opening id on the daemon's side. Nobody waits for that, and it happens for every statement: no call is made
   * of it, and of its answer not even the JSON is read.
   */
  close(id: string, epoch: number): void {
    if (this.dead || epoch !== this.epoch) {
      return
    }
    const text = `{"id":"${closing}${++this.lastId}","type":"sqlclose","cont_id":"${id}"}`
    if (this.holding) {
      this.heldCloses.push(text)
    } else {
      this.link?.send(text)
    }
  }

  // ----------------------------------------------------------------------------------------------------- receiving

  /** Whoever carries messages calls this from an event of its own: what is thrown there would end the process. */
  readonly message = (data: string | Uint8Array): void => {
    try {
      this.take(data)
    } catch (defect) {
      this.ended(`a message of the daemon's could not be dealt with: ${failure.textOf(defect)}`)
    }
  }

  private take(data: string | Uint8Array): void {
    this.heard = performance.now()
    if (typeof data === "string" && data.startsWith(closed)) {
      return
    }
    const frame = parse(data)
    if (frame._tag === "MalformedFrame") {
      return this.malformed(data, frame.why)
    }
    const call = frame.id === undefined ? undefined : this.calls.get(frame.id)
    if (call !== undefined) {
      this.answer(call, frame.error === undefined ? frame : { ...frame, error: this.scrub(frame.error) })
    } else if (frame.id === undefined) {
      this.strays++
      this.unclaimed("without an id")
    } else if (!frame.id.startsWith(closing)) {
      this.strays++
    }
  }

  readonly pong = (): void => {
    this.heard = performance.now()
  }

  /** Whose response it was can perhaps still be read; that one must not wait for ever. */
  private malformed(data: string | Uint8Array, why: string): void {
    this.strays++
    const text = typeof data === "string" ? data : new TextDecoder().decode(data)
    const id = /"id"\s*:\s*"([^"\\]*)"/.exec(text)?.[1]
    const call = id === undefined ? undefined : this.calls.get(id)
    if (call !== undefined) {
      this.unreadable(call, why)
    } else if (id === undefined && text.trim() !== "") {
      this.unclaimed(why)
    }
  }

  /**
   * A message that may have been anybody's answer, or nobody's. Which one shows when all others of that moment have been
   * answered: if all are it was nothing, if one is missing it was that one's. If several are, nothing of the job can be
   * trusted.
   */
  private unclaimed(why: string): void {
    const underWay = [...this.calls.values()]
    if (underWay.length > 0) {
      const claim = setTimeout(() => {
        this.claims.delete(claim)
        const missing = underWay.filter((call) => !call.answered)
        const lost = `a message of the daemon's is ${why}, and nothing tells whose answer it was`
        if (missing.length === 1) {
          this.retire(this.gone(lost, "notExecuted", undefined))
          this.unreadable(missing[0]!, why)
        } else if (missing.length > 1) {
          this.ended(lost)
        }
      }, claimWithin).unref()
      this.claims.add(claim)
    }
  }

  private unreadable(call: Call, why: string): void {
    this.remove(call)
    this.settle(call, failure.protocol(`The daemon's answer is ${why}`, this.subject(call)), undefined)
    this.tidy(call)
    call.conclude()
    this.sendHeld()
  }

  private answer(call: Call, frame: Frame): void {
    this.remove(call)
    // Of a connection that `connect` has replaced: nothing of it is true of the one that is there now.
    const replaced = call.epoch !== this.epoch
    if (call.closesCursors && !replaced) {
      // What was sent after it may have been run before it.
      this.generation++
    }
    if (
      !replaced &&
      call.request.type === "sql" &&
      frame.success &&
      frame.data !== undefined &&
      frame.body.is_done === true
    ) {
      // The only statements that 2.3 closes by itself: queries without parameters that were read to their end.
      this.handles--
    }
    if (call.settled || call.stopping !== undefined) {
      call.stoppedWith = frame
      this.tidy(call)
    } else if (replaced && !frame.success) {
      // Perhaps only how that one ended.
      this.settle(call, failure.withOutcome(failure.replaced(this.subject(call)), "unknown"), undefined)
    } else {
      this.settle(call, undefined, frame)
    }
    call.conclude()
    this.sendHeld()
  }

  private remove(call: Call): void {
    this.calls.delete(call.id)
    call.answered = true
    if (call.blocks) {
      this.blocking--
    }
  }

  /** Nobody knows the id of what this call opened. */
  private tidy(call: Call): void {
    if (call.opens) {
      this.close(call.id, call.epoch)
    }
  }

  /** Tells the caller, once. */
  settle(call: Call, error: SqlError | undefined, frame: Frame | undefined): void {
    if (!call.settled) {
      call.settled = true
      call.settle(error, frame)
    }
  }

  // ------------------------------------------------------------------------------------------------------ stopping

  /** Whether no other caller's request could be hit by a cancel that is meant for this one. */
  alone(call: Call): boolean {
    for (const other of this.calls.values()) {
      if (other !== call && other.works && !other.settled) {
        return false
      }
    }
    return true
  }

  /** Keeps new calls back. */
  hold(): void {
    this.holding = true
  }

  /** Lets them go, as soon as no cancel can hit them. */
  release(): void {
    const rest = this.quietFrom - performance.now()
    if (rest > 0 && this.failed === undefined) {
      this.releasing = setTimeout(() => this.releaseNow(), rest)
    } else {
      this.releaseNow()
    }
  }

  private releaseNow(): void {
    this.holding = false
    for (const text of this.dead ? [] : this.heldCloses.splice(0)) {
      this.link?.send(text)
    }
    this.sendHeld()
  }

  private sendHeld(): void {
    while (!this.holding && this.held.length > 0) {
      const [call] = this.held as [Call]
      if (!call.settled && this.failed === undefined && call.works && this.busy) {
        return
      }
      this.held.shift()
      if (call.settled) {
        continue
      }
      if (this.failed !== undefined && !(this.spent && call.request.type === "sqlmore")) {
        this.refuse(call, this.failed)
      } else {
        this.send(call)
      }
    }
  }

  /** Lets go of a call that was not sent. */
  drop(call: Call): void {
    call.settled = true
    call.answered = true
  }

  /** Nobody waits for this call any more; what it opens will be closed. */
  abandon(call: Call): void {
    call.settled = true
  }

  // ----------------------------------------------------------------------------------------------------- deadlines

  private watch(at: number): void {
    if (at >= this.timerAt) {
      return
    }
    clearTimeout(this.timer)
    this.timerAt = at
    this.timer = setTimeout(() => this.tick(), Math.min(Math.max(0, at - performance.now()) + 0.5, longestTimer))
  }

  private tick(): void {
    this.timer = undefined
    this.timerAt = Infinity
    const now = performance.now()
    let next = Infinity
    for (const call of this.held) {
      if (!call.settled && call.deadline <= now) {
        this.drop(call)
        call.settle(failure.late(this.subject(call), "notExecuted"), undefined)
      } else if (!call.settled) {
        next = Math.min(next, call.deadline)
      }
    }
    for (const call of [...this.calls.values()]) {
      if (call.settled || call.stopping !== undefined) {
        continue
      }
      if (call.deadline <= now) {
        this.events.late(call)
      } else {
        next = Math.min(next, call.deadline)
      }
    }
    if (next !== Infinity) {
      this.watch(next)
    }
  }

  /** Tells the caller of a call whose deadline has passed, with what became of the statement meanwhile. */
  expired(call: Call, transactional: boolean): void {
    const { stoppedWith } = call
    const refused = stoppedWith?.refused === true
    const undone = refused && (transactional || !failure.isCancelled(stoppedWith))
    const outcome = stoppedWith?.success === true ? "executed" : undone ? "notExecuted" : "unknown"
    this.settle(call, failure.late(this.subject(call), outcome), undefined)
  }

  // -------------------------------------------------------------------------------------------------------- ending

  /** Requests that are sent and not answered, except those that nobody waits for. */
  get pending(): number {
    let pending = 0
    for (const call of this.calls.values()) {
      pending += call.settled ? 0 : 1
    }
    return pending
  }

  /** Requests that are sent and not answered. */
  get unanswered(): number {
    return this.calls.size
  }

  get dead(): boolean {
    return this.endedBy !== undefined
  }

  /** Why no further call is taken, if so. */
  get refusal(): SqlError | undefined {
    return this.failed
  }

  /** Takes no further calls, and says that it is lost. Those under way go on. */
  retire(error: SqlError): void {
    this.failed ??= error
    this.events.lost(error)
    this.sendHeld()
  }

  /** The driver gives no further statement to this job; what is open can be read to its end. */
  exhaust(error: SqlError): void {
    this.spent = this.failed === undefined
    this.retire(failure.withOutcome(error, "notExecuted"))
  }

  /** Fails everything that is under way, or some of it, although the link is open. */
  abort(error: SqlError, which: (call: Call) => boolean = () => true): void {
    this.failed ??= error
    for (const call of this.held.splice(0)) {
      this.settle(call, this.fate(error, "notExecuted", call), undefined)
    }
    for (const call of [...this.calls.values()].filter(which)) {
      this.settle(call, this.fate(error, "unknown", call), undefined)
    }
  }

  readonly ended = (why: string): void => {
    if (this.dead) {
      return
    }
    why = this.scrub(why)
    this.endedBy = why
    this.claims.forEach(clearTimeout)
    this.claims.clear()
    clearTimeout(this.timer)
    clearTimeout(this.longTimer)
    clearTimeout(this.releasing)
    this.timer = undefined
    this.timerAt = Infinity
    const given = this.failed
    this.failed ??= this.gone(why, "notExecuted", undefined)
    const waiting = [...this.calls.values()]
    const held = this.held.splice(0)
    this.calls.clear()
    this.blocking = 0
    for (const call of waiting) {
      call.answered = true
      this.settle(
        call,
        given === undefined ? this.gone(why, "unknown", call) : this.fate(given, "unknown", call),
        undefined
      )
      call.conclude()
    }
    for (const call of held) {
      this.refuse(call, this.failed)
    }
    for (const stop of [...this.fetches]) {
      // Their statements have come to their end.
      stop(failure.withOutcome(this.failed, "executed"))
    }
    this.events.lost(this.failed)
  }

  /** Of what ended the job, as it concerns one call: the statement that was to blame may be somebody else's. */
  private fate(error: SqlError, outcome: SqlFailure.Outcome, call: Call): SqlError {
    return SqlFailure.annotate(error, { outcome, statement: call.statement })
  }

  private gone(why: string, outcome: SqlFailure.Outcome, call: Call | undefined): SqlError {
    return failure.lost(why, outcome, { job: this.job, statement: call?.statement })
  }

  subject(call: Call): failure.Subject {
    return { job: this.job, statement: call.statement }
  }
}
