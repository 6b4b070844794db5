/** Finds half-open sockets: asks for a sign of life, and gives up when none comes although the daemon could answer. */
import type { Link } from "../link.js"
import { longestTimer } from "../longestTimer.js"
import type { Wire } from "./wire.js"

export interface KeepAliveOptions {
  /** Milliseconds between two looks. */
  readonly interval: number
  /** Looks in a row without any sign of life, after which the link counts as lost. */
  readonly missed: number
}

/** Starts it; the answer stops it. A link that cannot ask is left alone. */
export const keepAlive = (wire: Wire, link: Link, options: KeepAliveOptions, dead: (why: string) => void) => {
  const { ping } = link
  if (ping === undefined || !(options.interval > 0) || options.interval === Infinity) {
    return () => {}
  }
  let askedAt = 0
  let missed = 0
  let unsent = 0
  const timer = setInterval(
    () => {
      const left = link.unsent()
      const moving = left !== unsent && left > 0
      unsent = left
      // While the daemon runs a CL command or the like it does not read, so silence means nothing. Nor while what we send
      // is still leaving: the question stands behind it.
      if (wire.blocking > 0 || moving || wire.heard >= askedAt) {
        missed = 0
      } else if (++missed >= options.missed) {
        return dead(`nothing was heard of it for ${Math.round(performance.now() - wire.heard)} ms`)
      }
      askedAt = performance.now()
      ping()
    },
    Math.min(options.interval, longestTimer)
  )
  // What is under way keeps the process alive, this does not.
  timer.unref()
  return () => clearInterval(timer)
}
