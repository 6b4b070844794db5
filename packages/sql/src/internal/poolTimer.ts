/** One-shot timers on any Clock, for code that is not in a fiber. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import { constVoid } from "effect/Function"
import { isLive } from "./settings.js"

/** What `setTimeout` can count to. Anything longer is never, as in Effect's own clock. */
const longest = 2 ** 31 - 1

/**
 * Runs the task once, in so many milliseconds of the clock; gives the way to call it off.
 *
 * On the machine's clock this is a bare timer, a tenth of the price of a fiber. `background`: it does not keep the
 * process alive, so that an idle pool does not.
 */
export const after = (clock: Clock.Clock, millis: number, task: () => void, background: boolean): (() => void) => {
  if (millis > longest) {
    return constVoid
  }
  if (isLive(clock)) {
    const handle = setTimeout(task, millis)
    if (background) {
      handle.unref()
    }
    return () => clearTimeout(handle)
  }
  const fiber = Effect.runFork(Effect.zipRight(clock.sleep(Duration.millis(millis)), Effect.sync(task)))
  return () => fiber.unsafeInterruptAsFork(FiberId.none)
}
