/** How soon a CPU-bound statement is gone, and how late a deadline is when the main loop cannot help. */
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Effect, Fiber } from "effect"
import { format } from "../harness.mjs"
import { quantile, threadCpu, threadIds } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

const runaway = (sql) => sql`with recursive c(i) as (select 1 union all select i + 1 from c) select count(*) from c`

const stop = ({ quick }) =>
  withClient({ filename: ":memory:" }, (sql) =>
    Effect.gen(function* () {
      const [free, answered] = [[], []]
      for (let i = 0; i < (quick ? 50 : 200); i++) {
        const fiber = yield* Effect.fork(runaway(sql))
        // Stop it at another moment each time.
        yield* Effect.sleep(2 + ((i * 7) % 20))
        const start = performance.now()
        yield* Fiber.interrupt(fiber)
        free.push(performance.now() - start)
        yield* sql`select 1`
        answered.push(performance.now() - start)
      }
      return {
        free: quantile(free, 0.5),
        p50: quantile(answered, 0.5),
        p99: quantile(answered, 0.99),
        max: Math.max(...answered)
      }
    })
  )

/** What a thread may use without having run the statement, in nanoseconds: one that waits turns over now and then. */
const turningOver = 300_000

/** The other thread that has used most CPU since, 0 when none has used any. */
const busiest = (before) => {
  let [busy, most] = [0, 0]
  for (const [tid, cpu] of before) {
    const used = tid === process.pid ? 0 : threadCpu(tid) - cpu
    if (used > most) {
      ;[busy, most] = [tid, used]
    }
  }
  return busy
}

/**
 * Blocks the loop for so long, and meanwhile watches the thread that runs the statement: answers when it last used CPU.
 * (The kernel settles a thread's account when the thread stops running.)
 */
const blockAndWatch = (ms) => {
  const start = performance.now()
  const before = new Map(threadIds().map((tid) => [tid, threadCpu(tid)]))
  let busy = 0
  // Long enough to tell the busy thread from the others; longer where the machine has not let it run yet.
  while (performance.now() - start < ms / 4 || (busy === 0 && performance.now() - start < ms)) {
    if (performance.now() - start >= ms / 4) {
      busy = busiest(before)
    }
  }
  busy ||= busiest(before)
  if (busy === 0) {
    return performance.now()
  }
  let [cpu, last] = [threadCpu(busy), performance.now()]
  while (performance.now() - start < ms) {
    const now = threadCpu(busy)
    if (now - cpu > turningOver) {
      cpu = now
      last = performance.now()
    }
  }
  return last
}

const deadline = ({ quick }) =>
  withClient({ filename: ":memory:" }, (sql) =>
    Effect.gen(function* () {
      const late = []
      for (let i = 0; i < (quick ? 10 : 25); i++) {
        const due = performance.now() + 100
        const fiber = yield* Effect.fork(Effect.either(runaway(sql).pipe(SqlClient.withDeadline("100 millis"))))
        // The request must have left; from then on the loop is of no help.
        yield* Effect.sleep(10)
        late.push(blockAndWatch(250) - due)
        const result = yield* Fiber.join(fiber)
        if (result._tag === "Right" || SqlFailure.from(result.left).reason !== "StatementTimeout") {
          return yield* Effect.dieMessage("the statement did not end by its deadline")
        }
      }
      return { p50: quantile(late, 0.5), p99: quantile(late, 0.99), max: Math.max(...late) }
    })
  )

export default {
  name: "interrupt",
  title: "Interrupting a CPU-bound statement, and a deadline while the main loop is blocked",
  rounds: ({ quick }) => (quick ? 1 : 3),
  cells: () => [
    { name: "interrupt → next answer", run: stop },
    { name: "deadline → stopped, loop blocked", run: deadline }
  ],
  metrics: [
    { key: "free", label: "fiber free p50", unit: "ms", spread: false },
    { key: "p50", label: "p50", unit: "ms" },
    { key: "p99", label: "p99", unit: "ms" },
    { key: "max", label: "max", unit: "ms", pick: "max", spread: false }
  ],
  bars: ({ max, median }) => {
    const p50 = median("interrupt → next answer", "p50")
    const worst = max("interrupt → next answer", "max")
    const late = "deadline → stopped, loop blocked"
    return [
      { bar: "interrupt to next answer: p50 under 2 ms", figure: format(p50, "ms"), met: p50 < 2 },
      { bar: "interrupt to next answer: max under 50 ms", figure: format(worst, "ms"), met: worst < 50 },
      {
        bar: "deadline kept while the loop is blocked (for 140 ms more)",
        figure: `${format(median(late, "p50"), "ms")} late, at most ${format(max(late, "max"), "ms")}`,
        met: max(late, "max") < 140
      }
    ]
  }
}
