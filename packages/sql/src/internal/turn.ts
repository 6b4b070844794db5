/** A turn: many may pass through it at once, or one may hold it; whoever waits is served in order. */
import * as Effect from "effect/Effect"
import { async, thenAlways, uninterruptibleMask } from "./primitives.js"

/** What `Effect.uninterruptibleMask` hands out. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Puts a limit on waiting. */
export type Limit<E> = (wait: Effect.Effect<void>) => Effect.Effect<void, E>

const unlimited: Limit<never> = (wait) => wait

interface Waiter {
  readonly holds: boolean
  readonly go: () => void
}

export class Turn {
  private passing = 0
  private held = false
  private over = false
  private readonly waiting: Array<Waiter> = []
  /** Who waits until nobody passes any more. */
  private readonly watching: Array<() => void> = []

  /** `width`: how many may pass at once. */
  constructor(private readonly width: number) {}

  private free(holds: boolean): boolean {
    return this.over || (!this.held && (holds ? this.passing === 0 : this.passing < this.width))
  }

  /** Takes a place if there is one and nobody waits for it; each must be given back with `leave`. */
  tryPass(): boolean {
    if (this.waiting.length > 0 || !this.free(false)) {
      return false
    }
    this.passing++
    return true
  }

  leave(): void {
    this.passing--
    if (this.passing === 0) {
      this.watching.splice(0).forEach((go) => go())
    }
    this.serve()
  }

  /** Nobody waits for anything from now on: whoever comes must find out by other means that it comes too late. */
  end(): void {
    this.over = true
    this.serve()
  }

  /** Completes when those who pass have left; of a turn that has ended, so that nothing of use comes after them. */
  readonly still: Effect.Effect<void> = Effect.suspend(() =>
    this.passing === 0 ? Effect.void : async<void>((resume) => void this.watching.push(() => resume(Effect.void)))
  )

  /** Passes at once, for one who need not ask; counted before this returns. For use in an uninterruptible region. */
  occupy<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    this.passing++
    return thenAlways(effect, () => this.leave())
  }

  drop(): void {
    this.held = false
    this.serve()
  }

  private serve(): void {
    for (let head = this.waiting[0]; head !== undefined && this.free(head.holds); head = this.waiting[0]) {
      this.waiting.shift()
      this.grant(head.holds)
      head.go()
    }
  }

  private grant(holds: boolean): void {
    if (holds) {
      this.held = true
    } else {
      this.passing++
    }
  }

  /**
   * Waits for a place. The decision whether an interrupted waiter has one to give back falls outside of the
   * interruptible region, where nothing can come in between.
   */
  private wait<E>(restore: Restore, holds: boolean, limit: Limit<E>): Effect.Effect<void, E> {
    return Effect.suspend((): Effect.Effect<void, E> => {
      if (this.waiting.length === 0 && this.free(holds)) {
        this.grant(holds)
        return Effect.void
      }
      let served = false
      let go: () => void = () => {
        served = true
      }
      const waiter: Waiter = { holds, go: () => go() }
      this.waiting.push(waiter)
      const turn = async<void>((resume) => {
        if (served) {
          return resume(Effect.void)
        }
        go = () => {
          served = true
          resume(Effect.void)
        }
      })
      return Effect.onError(restore(limit(turn)), () =>
        Effect.sync(() => {
          if (served) {
            return holds ? this.drop() : this.leave()
          }
          this.waiting.splice(this.waiting.indexOf(waiter), 1)
          this.serve()
        })
      )
    })
  }

  /** Runs the effect while passing; `limit` bounds the waiting. */
  pass<A, E, R, E2 = never>(effect: Effect.Effect<A, E, R>, limit: Limit<E2> = unlimited): Effect.Effect<A, E | E2, R> {
    return uninterruptibleMask((restore) =>
      Effect.flatMap(this.tryPass() ? Effect.void : this.wait(restore, false, limit), () =>
        thenAlways(restore(effect), () => this.leave())
      )
    )
  }

  /** Waits until it holds, from within an uninterruptible region; whoever holds must `drop`. */
  take<E = never>(restore: Restore, limit: Limit<E> = unlimited): Effect.Effect<void, E> {
    return this.wait(restore, true, limit)
  }

  /** Runs `use` while holding, from within an uninterruptible region; the waiting alone is interruptible. */
  hold<A, E, R, E2 = never>(
    restore: Restore,
    use: Effect.Effect<A, E, R>,
    limit: Limit<E2> = unlimited
  ): Effect.Effect<A, E | E2, R> {
    return Effect.flatMap(this.wait(restore, true, limit), () => thenAlways(use, () => this.drop()))
  }
}
