/** Answers of one turn of the event loop leave together: for small ones the system call of each would cost the most. */
import type { Duplex } from "node:stream"

/** To be called before something is written. What is written until the end of this turn goes out in one piece. */
export const gatherer = (stream: Duplex): (() => void) => {
  let gathering = false
  const flush = () => {
    gathering = false
    stream.uncork()
  }
  return () => {
    if (!gathering) {
      gathering = true
      stream.cork()
      setImmediate(flush)
    }
  }
}
